"""All benchmarks, one after another. Options are passed on; without --quick, torch.compile and two threads run too."""

import subprocess
import sys
from pathlib import Path

QUICK = ("steps.py", "transformer.py", "convolution.py", "inference.py", "startup.py")
SCRIPTS = (*QUICK, "hessian.py", "half.py", "compile_time.py")

if __name__ == "__main__":
    options, scripts = sys.argv[1:], QUICK
    if "--quick" not in options and "--help" not in options:
        scripts = SCRIPTS
        options = [*options, "--compile"]
        if "--threads" not in options:
            options += ["--threads", "1", "2"]
    for script in scripts:
        status = subprocess.run([sys.executable, str(Path(__file__).parent / script), *options]).returncode
        if status:
            sys.exit(status)
