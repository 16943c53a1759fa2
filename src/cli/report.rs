//! `report`: what a Terraform plan means for endpoints, as Markdown for a pull request.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;

use super::{CliError, to_json};
use crate::report::{Report, TerraformPlan, markdown};
use crate::rollout::Expected;
use crate::spec::TimeSpan;

/// Longest plan that is read.
const INPUT_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Which plan to report.
#[derive(Debug, Args)]
pub struct ReportArguments {
    /// What `terraform show -json PLANFILE` printed; `-` reads standard input
    plan: PathBuf,
    /// Longest Markdown; what does not fit is named at its end. A comment on GitHub may have 65536 characters
    #[arg(long, value_name = "BYTES", default_value_t = 60_000, value_parser = clap::value_parser!(u32).range(2_000..))]
    max_bytes: u32,
    /// Expected time from the start of a replica until it is available
    #[arg(long, value_name = "DURATION", default_value = "5m")]
    start_time: TimeSpan,
    /// Expected time from the stop of a replica until its devices are free
    #[arg(long, value_name = "DURATION", default_value = "1m")]
    drain_time: TimeSpan,
    /// Print JSON, without a limit of its length
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(arguments: &ReportArguments) -> Result<String, CliError> {
    let text = read(&arguments.plan)?;
    let plan = TerraformPlan::read(&text).map_err(|error| CliError::Input(error.to_string()))?;
    let expected =
        Expected { start: arguments.start_time.as_duration(), drain: arguments.drain_time.as_duration() };
    let report = Report::of(&plan, expected);
    if arguments.json {
        return to_json(&report);
    }
    let limit = usize::try_from(arguments.max_bytes).unwrap_or(usize::MAX);
    Ok(markdown(&report, limit).trim_end().to_owned())
}

fn read(path: &Path) -> Result<String, CliError> {
    let shown = path.display();
    let refused = |error: &std::io::Error| CliError::Input(format!("failed to read {shown}: {error}"));
    let source: Box<dyn Read> = if path == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(path).map_err(|error| refused(&error))?)
    };
    let mut text = String::new();
    source.take(INPUT_BYTES_MAX + 1).read_to_string(&mut text).map_err(|error| refused(&error))?;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > INPUT_BYTES_MAX {
        return Err(CliError::Input(format!("{shown} is longer than {INPUT_BYTES_MAX} bytes")));
    }
    Ok(text)
}
