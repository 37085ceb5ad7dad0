"""The console command ``synth``."""

from synth import interrupts


def main() -> None:
    """Run the command line and exit."""
    interrupts.start("synth", "synth.cli")


if __name__ == "__main__":
    main()
