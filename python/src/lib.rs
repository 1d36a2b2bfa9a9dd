//! What the Python package `tidecast` stands on: the engine as an object of the interpreter.
