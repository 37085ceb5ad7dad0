"""The console command ``localize``."""

from synth import interrupts


def main() -> None:
    """Run the command line and exit."""
    interrupts.start("localize", "localize.cli.main")


if __name__ == "__main__":
    main()
