//! What one decision costs: it has to grow with the number of replicas and no faster.

mod scene;

use criterion::{BenchmarkId, Criterion, Throughput};
use sluice::rollout::{Accounting, Input, step};

use crate::scene::scene;

fn one_step(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("step");
    for replicas in [100, 1_000, 10_000] {
        let (endpoint, fleet, record, now) = scene(replicas);
        group.throughput(Throughput::Elements(replicas.into()));
        group.bench_function(BenchmarkId::from_parameter(replicas), |bencher| {
            bencher.iter(|| {
                let accounting = Accounting::Devices;
                let input = Input {
                    endpoint: &endpoint,
                    fleet: &fleet,
                    record: &record,
                    readings: &[],
                    now,
                    accounting,
                };
                step(&input)
            });
        });
    }
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    one_step(&mut criterion);
    criterion.final_summary();
}
