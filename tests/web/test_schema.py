"""What the API says of itself, held against what it does, by schemathesis."""

import os
import subprocess
import sys
from pathlib import Path

EXAMPLES = os.environ.get("HOUNDSIGHT_EXAMPLES", "10")


def test_schemathesis_finds_nothing(place, serve, tmp_path):
    served = serve(place)
    command = [sys.executable, "-m", "schemathesis.cli"]
    command += ["--config-file", Path(__file__).with_name("schemathesis.toml")]
    command += ["run", f"{served.address}/api/openapi.json", "--continue-on-failure"]
    command += ["--max-examples", EXAMPLES, "--seed", "1", "--warnings", "off"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Stateful" in done.stdout
    out, err, code = served.stop()
    assert (out, code) == ("stopped\n", 0)
    assert "Traceback" not in err
