# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from gpu_day.day import main

if __name__ == '__main__':
    main()
