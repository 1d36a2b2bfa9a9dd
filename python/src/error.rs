//! The engine's errors as the exceptions of `tidecast/errors.py`.

use std::error::Error as _;

use pyo3::PyErr;
use tidecast::Error;

mod exceptions {
    pyo3::import_exception!(tidecast.errors, ClosedError);
    pyo3::import_exception!(tidecast.errors, InDoubtError);
    pyo3::import_exception!(tidecast.errors, InvalidError);
    pyo3::import_exception!(tidecast.errors, TidecastError);
    pyo3::import_exception!(tidecast.errors, TooLargeError);
    pyo3::import_exception!(tidecast.errors, UnavailableError);
}

/// Returns the exception for an error, with the text of the error and its sources.
// Passed to `map_err`.
#[allow(clippy::needless_pass_by_value)]
pub(crate) fn raise(error: Error) -> PyErr {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(": ");
        text.push_str(&source.to_string());
        next = source.source();
    }
    if error.is_invalid() {
        exceptions::InvalidError::new_err(text)
    } else if error.is_too_large() {
        exceptions::TooLargeError::new_err(text)
    } else if error.is_in_doubt() {
        exceptions::InDoubtError::new_err(text)
    } else if error.is_unavailable() {
        exceptions::UnavailableError::new_err(text)
    } else if error.is_closed() {
        exceptions::ClosedError::new_err(text)
    } else {
        exceptions::TidecastError::new_err(text)
    }
}

/// Returns the exception for an invalid argument.
pub(crate) fn invalid(why: String) -> PyErr {
    exceptions::InvalidError::new_err(why)
}
