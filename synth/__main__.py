"""The console command ``synth``."""

from synth import interrupts


def main() -> None:
    """Runs the command line and exits."""
    interrupts.start("synth", "synth.cli")


if __name__ == "__main__":
    main()
