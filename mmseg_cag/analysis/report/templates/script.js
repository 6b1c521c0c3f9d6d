'use strict';

// The theme follows the system until it is switched.
const root = document.documentElement;
document.getElementById('theme').addEventListener('click', () => {
  const system = matchMedia('(prefers-color-scheme: dark)').matches;
  const now = root.dataset.theme || (system ? 'dark' : 'light');
  root.dataset.theme = now === 'dark' ? 'light' : 'dark';
});

// A slider, or a drag over the picture, moves the line between two networks.
for (const slider of document.querySelectorAll('.slider')) {
  const figure = slider.closest('.compare');
  const show = () => figure.style.setProperty('--cut', slider.value + '%');
  slider.addEventListener('input', show);
  const stack = figure.querySelector('.stack');
  const drag = (event) => {
    if (event.type === 'pointermove' && !event.buttons) return;
    const box = stack.getBoundingClientRect();
    slider.value = 100 * (event.clientX - box.left) / box.width;
    show();
  };
  stack.addEventListener('pointerdown', drag);
  stack.addEventListener('pointermove', drag);
  stack.addEventListener('dragstart', (event) => event.preventDefault());
  show();
}

for (const toggle of document.querySelectorAll('[data-layer]')) {
  const show = () => {
    const layers = `#gallery-${toggle.dataset.run} .${toggle.dataset.layer}`;
    for (const layer of document.querySelectorAll(layers)) {
      layer.hidden = !toggle.checked;
    }
  };
  toggle.addEventListener('change', show);
  show();
}

// A heading sorts by its column: numbers by size, names by letter, gaps last.
function compare(a, b) {
  if (a === '' || b === '') return (a === '') - (b === '');
  return isNaN(a) || isNaN(b) ? a.localeCompare(b, undefined, { numeric: true }) : a - b;
}
for (const button of document.querySelectorAll('.sortable th button')) {
  button.addEventListener('click', () => {
    const heading = button.parentElement;
    const table = heading.closest('table');
    const column = heading.cellIndex;
    const first = column ? 'descending' : 'ascending';
    const other = column ? 'ascending' : 'descending';
    const order = heading.ariaSort === first ? other : first;
    for (const th of table.tHead.rows[0].cells) th.ariaSort = 'none';
    heading.ariaSort = order;
    const value = (row) => row.cells[column].dataset.value
      ?? row.cells[column].textContent;
    const sign = order === 'ascending' ? 1 : -1;
    const body = table.tBodies[0];
    const rows = [...body.rows].sort((r, s) => {
      const [a, b] = [value(r), value(s)];
      return a === '' || b === '' ? compare(a, b) : sign * compare(a, b);
    });
    body.append(...rows);
  });
}

// The navigation shows where the reader is.
const links = new Map([...document.querySelectorAll('.bar nav a')]
  .map((link) => [link.hash.slice(1), link]));
const watcher = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    for (const link of links.values()) link.removeAttribute('aria-current');
    links.get(entry.target.id)?.setAttribute('aria-current', 'true');
  }
}, { rootMargin: '-20% 0px -75% 0px' });
for (const section of document.querySelectorAll('section')) {
  watcher.observe(section);
}
