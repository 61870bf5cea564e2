"""All benchmarks, one after another. Options are passed on; without --quick, torch.compile runs too."""

import subprocess
import sys
from pathlib import Path

SCRIPTS = ("startup.py", "compile_time.py", "hessian.py", "keras_script.py", "mlp.py", "transformer.py")

if __name__ == "__main__":
    options = sys.argv[1:]
    if "--quick" not in options and "--help" not in options:
        options = [*options, "--compile"]
    for script in SCRIPTS:
        status = subprocess.run([sys.executable, str(Path(__file__).parent / script), *options]).returncode
        if status:
            sys.exit(status)
