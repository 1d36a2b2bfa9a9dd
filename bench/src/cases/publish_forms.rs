//! Publishing in every form of request: whether one costs more than another that does the same.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::Effort;
use crate::{
    figures::{Figures, Metric},
    load::form::{Form, FormPublisher},
    servers::{Kind, Programs, Server},
};

/// Measures each form on a server of its own, for a quarter of the time of a round.
pub(super) fn measure(programs: &Programs, kind: Kind, effort: Effort, burst: usize) -> Result<Figures> {
    let mut figures = Figures::default();
    let (mut best, mut worst) = (f64::INFINITY, 0.0_f64);
    for form in Form::ALL {
        let known = kind == Kind::Tidecast || form.is_common();
        if !known || (burst > 1 && !form.is_one_segment()) {
            continue;
        }
        let server = if form == Form::Key { programs.start_with_key()? } else { programs.start(kind)? };
        let micros = micros_of_an_event(&server, form, burst, effort.time / 4)?;
        figures.put(Metric::CpuOfForm(form), micros);
        if form.is_one_segment() && form.events() == 1 {
            (best, worst) = (best.min(micros), worst.max(micros));
        }
    }
    figures.put(Metric::WorstForm, worst / best);
    Ok(figures)
}

fn micros_of_an_event(server: &Server, form: Form, burst: usize, time: Duration) -> Result<f64> {
    let mut publisher = FormPublisher::connect(form, server.address, burst)?;
    let mut publish_for = |time| -> Result<usize> {
        let began = Instant::now();
        let mut requests = 0;
        while began.elapsed() < time {
            publisher.publish()?;
            requests += burst;
        }
        Ok(requests)
    };
    publish_for(time / 5)?;
    let processes = server.processes()?;
    let before = processes.cpu_time()?;
    let requests = publish_for(time)?;
    let took = processes.cpu_time()?.saturating_sub(before);
    Ok(took.as_secs_f64() * 1e6 / (requests * form.events()) as f64)
}
