"""The commands of `valor`, one file each: `add(commands)` declares the arguments, `run(args)` does the work."""
