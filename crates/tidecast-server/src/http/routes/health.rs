//! `/healthz`, `/readyz` and `/metrics`.

use std::sync::Arc;

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use tidecast_axum::Problem;

use crate::{
    app::App,
    observe::{
        metrics::{self, Scrape},
        telemetry,
    },
};

/// Handles `GET /healthz`: responds if the process runs.
pub(crate) async fn alive() -> &'static str {
    "alive\n"
}

/// Handles `GET /readyz`: succeeds if every task of the hub runs and the broker is available.
pub(crate) async fn ready(State(app): State<Arc<App>>) -> Result<&'static str, Problem> {
    let missing = app.tasks.missing();
    if !missing.is_empty() {
        let why = format!("restarting after a panic: {}; see the log", missing.join(", "));
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, why));
    }
    app.hub.ready().await?;
    Ok("ready\n")
}

/// Handles `GET /metrics`.
pub(crate) async fn metrics(State(app): State<Arc<App>>) -> Response {
    let scrape = Scrape {
        stats: app.hub.stats(),
        streams: app.admission.streams() as u64,
        tasks_restarted: app.tasks.restarts(),
        log_lines_dropped: telemetry::lines_dropped(),
        counters: app.counters.clone(),
        connections: app.connections.clone(),
    };
    match metrics::render(&scrape, app.broker.metrics()) {
        Ok(text) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(error) => Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
