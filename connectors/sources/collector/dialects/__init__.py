"""What each emitter of telemetry calls things, and what we call them. To add a dialect: names into `aliases`, kinds into `kinds`,
and only what a table cannot say into a module of its own."""
