//! Where values live: copies between host and device, views, updates of what others share, mixed places, errors.

use std::panic::catch_unwind;

use wengert::compute::{Inputs, Kernel, Layout, Outputs, compute, update_alike};
use wengert::kernels::device::{Operands, Unsupported};
use wengert::kernels::opencl::{Launch, Queue, Source};
use wengert::{Counts, Device, DeviceError, Tape, Tensor, Var, function};

use crate::{distance, noise, with_device};

function!(Momentum { lr, mu } |p, b, g| -> [p, b] {
    let b = mu * b + g;
    let p = p - lr * b;
});

function!(Clip { most } | p, g | (p + g).if_above(most, most, p + g));

fn counted<R>(device: &Device, f: impl FnOnce() -> R) -> (R, Counts) {
    let before = device.counts();
    let result = f();
    (result, device.counts() - before)
}

#[test]
fn to_and_fro() {
    with_device(|device| {
        for shape in [&[][..], &[1], &[0], &[2, 0, 3], &[17], &[3, 5, 7, 2], &[300_001]] {
            let x = noise::<f32>(shape, 1);
            let there = x.to(device).unwrap();
            assert_eq!((there.device(), there.to(device).unwrap().device()), (device.clone(), device.clone()));
            let back = there.to(&Device::host()).unwrap();
            assert!(back.device().is_host() && x.device().is_host());
            assert_eq!((&back, &there), (&x, &x));
            assert_eq!(back.to(device).unwrap(), x);
        }
        // Values are copied once in each direction, however often they are asked for.
        let x = noise::<f32>(&[100], 1);
        let (there, counts) = counted(device, || x.to(device).unwrap());
        assert_eq!((counts.up, counts.down, counts.waits), (400, 0, 0));
        let y = Var::from(&there) * 2.0;
        let (_, counts) =
            counted(device, || (y.value().to_vec(), y.value().data()[3], y.value().slice(0, 3..4).item()));
        assert_eq!((counts.up, counts.down, counts.waits), (0, 400, 1));
    });
}

/// Only the elements of a view move, in the order in which they lie.
#[test]
fn views_move_without_their_gaps() {
    with_device(|device| {
        let x = noise::<f32>(&[6, 5, 4], 1);
        let views = [
            x.slice(1, 2..4),
            x.slice(0, 5..6).slice(2, 3..4),
            x.permute([2, 0, 1]).slice(0, 1..3),
            x.slice(0, 2..3).broadcast_to([3, 5, 4]),
            x.slice(1, 1..1),
            x.permute([2, 1, 0]),
        ];
        for view in views {
            let (there, counts) = counted(device, || view.to(device).unwrap());
            assert_eq!(counts.up, 4 * view.size() as u64, "{}", view.shape());
            assert_eq!(there, view);
            // Views of the device's memory, which begin somewhere in it, are operands and go back.
            let whole = x.to(device).unwrap();
            let part = whole.permute([1, 0, 2]).slice(0, 1..4).slice(2, 1..3);
            let want = x.permute([1, 0, 2]).slice(0, 1..4).slice(2, 1..3);
            assert_eq!(part.to(&Device::host()).unwrap(), want);
            assert_eq!((Var::from(&part) + 1.0).value(), (Var::from(&want) + 1.0).value());
            let [found, expected] = [part, want].map(|x| Var::from(x).sum_axes([1], false).into_value());
            assert!(distance(&found, &expected) < 1e-6, "{found}, not {expected}");
        }
    });
}

/// An operand on the host is copied to the device of the first that lives on one, once.
#[test]
fn mixed_places() {
    with_device(|device| {
        let (a, b) = (noise::<f32>(&[40, 30], 1), noise::<f32>(&[30], 2));
        let there = a.to(device).unwrap();
        let expected = (Var::from(&b) * Var::from(&a)).into_value();
        let f = || (Var::from(&b) * Var::from(&there)).into_value();
        let (y, first) = counted(device, f);
        let (_, second) = counted(device, f);
        assert_eq!((first.up, second.up, first.fallbacks), (120, 0, 0), "the copy on the device is kept");
        assert_eq!((y.device(), &y), (device.clone(), &expected));
        assert!(b.device().is_host(), "it lives where it lived");
        // The gradients live where the product does; so do zeros for what has no influence.
        let tape = Tape::new();
        let [x, w, apart] = [&there, &b, &there].map(|x| tape.var(x.clone()));
        let loss = (&w * &x).sum();
        for gradient in loss.grad(&[&x, &w, &apart]) {
            assert_eq!(gradient.value().device(), *device);
        }
        let gradients = loss.backward();
        for x in [&x, &w, &apart] {
            assert_eq!(gradients.wrt(x).device(), *device);
        }
    });
}

/// y = 2x, for the processor alone.
struct Twice;

impl Kernel<f32> for Twice {
    fn cpu(&self, inputs: Inputs<'_, f32>, outputs: Outputs<'_, '_, f32>) {
        let ([x], [y]) = (inputs.tensors(), outputs.tensors());
        y.iter_mut().zip(x).for_each(|(y, &x)| *y = 2.0 * x);
    }
}

#[test]
fn without_a_form_for_devices_the_processor_computes_and_it_is_counted() {
    with_device(|device| {
        let x = noise::<f32>(&[33], 1).to(device).unwrap();
        let (y, counts) = counted(device, || {
            let [y] = compute(&Twice, &[&x], [Layout::row_major([33])]);
            let y = y.map(|y| y + 1.0);
            Var::from(y) * 1.0
        });
        // Read once: the result of the first is on the host when the second asks for it.
        assert_eq!((counts.fallbacks, counts.down, counts.waits), (2, 132, 1), "{counts:?}");
        assert_eq!(y.value().device(), *device);
        assert_eq!(y.value(), (Var::from(&x) * 2.0 + 1.0).value());
    });
}

/// An update writes to memory of its own: clones, views and what was computed before keep their values, whichever of
/// them the host has read already.
#[test]
fn updates_of_what_is_shared() {
    with_device(|device| {
        let (start, step) = (noise::<f32>(&[70, 3], 1), noise::<f32>(&[70, 3], 2));
        let run = |place: &Device, read_before: bool| {
            let (mut p, g) = (start.to(place).unwrap(), step.to(place).unwrap());
            let mut b = Tensor::zeros([70, 3]).to(place).unwrap();
            if read_before {
                p.data();
            }
            let (clone, view) = (p.clone(), p.slice(0, 3..5).permute([1, 0]));
            let later = Var::from(&p) * 3.0;
            for _ in 0..3 {
                update_alike(Momentum { lr: 0.5, mu: 0.5 }, [&mut p, &mut b], &[&g]);
            }
            let between = p.clone();
            update_alike(Momentum { lr: 0.5, mu: 0.5 }, [&mut p, &mut b], &[&g]);
            [clone, view, later.into_value(), between, p, b].map(|x| x.to(&Device::host()).unwrap())
        };
        let expected = run(&Device::host(), false);
        for read_before in [false, true] {
            assert_eq!(run(device, read_before), expected);
        }
        // Nobody else holds it: no copy, and the same memory again and again.
        let (mut p, mut b, g) = (start.to(device).unwrap(), start.to(device).unwrap(), step.to(device).unwrap());
        let (_, counts) = counted(device, || {
            for _ in 0..5 {
                update_alike(Momentum { lr: 0.5, mu: 0.5 }, [&mut p, &mut b], &[&g]);
            }
        });
        assert_eq!((counts.kernels, counts.up, counts.down, counts.fallbacks), (5, 0, 0, 0));
    });
}

/// A tensor that lives on the host is moved by its first update with a gradient from the device, and stays there; a
/// view of part of a memory is not changed in place.
#[test]
fn updates_move_and_views_are_copied() {
    with_device(|device| {
        let (x, g) = (noise::<f32>(&[20], 1), noise::<f32>(&[20], 2));
        let there = g.to(device).unwrap();
        let (mut p, mut b) = (x.clone(), Tensor::zeros([20]));
        let step = Momentum { lr: 0.5, mu: 0.5 };
        update_alike(step, [&mut p, &mut b], &[&there]);
        assert_eq!((p.device(), b.device()), (device.clone(), device.clone()));
        let (mut p2, mut b2) = (x.clone(), Tensor::zeros([20]));
        update_alike(step, [&mut p2, &mut b2], &[&g]);
        assert_eq!((&p, &b), (&p2, &b2));

        let whole = x.to(device).unwrap();
        let (mut part, mut b, g) = (whole.slice(0, 5..9), Tensor::zeros([4]), there.slice(0, 16..20));
        update_alike(step, [&mut part, &mut b], &[&g]);
        assert_eq!(whole, x, "the rest and the part of it");
        let mut expected = x.slice(0, 5..9);
        update_alike(step, [&mut expected, &mut Tensor::zeros([4])], &[&g.to(&Device::host()).unwrap()]);
        assert_eq!(part, expected);
    });
}

/// Memory goes back to the pool while commands that use it are still to run.
#[test]
fn tensors_dropped_before_their_commands_have_run() {
    with_device(|device| {
        let x = noise::<f32>(&[200_000], 1);
        let mut there = x.to(device).unwrap();
        let mut expected = x.to_vec();
        for round in 0..40 {
            let shift = f64::from(round) / 8.0;
            let other = Var::from(&there) + shift;
            drop(Var::from(&there) * 0.0);
            there = (other - shift / 2.0).into_value();
            expected.iter_mut().for_each(|x| *x = (*x + shift as f32) + -(shift as f32 / 2.0));
            // Uploads too are on their way when their tensors go.
            drop(noise::<f32>(&[1000], round as u64).to(device).unwrap());
        }
        assert_eq!(there.to_vec(), expected);
    });
}

#[test]
fn several_threads_at_once() {
    with_device(|device| {
        let x = noise::<f32>(&[5000], 1);
        let shared = x.to(device).unwrap();
        let run = |x: &Tensor, seed: usize| {
            let mut y = Var::from(x);
            for i in 0..30 {
                y = (&y * 0.5 + (seed + i) as f64).tanh() + Var::from(x.slice(0, i..i + 1));
            }
            (y.value().to_vec(), y.sum().item())
        };
        let runs = |x: &Tensor| {
            std::thread::scope(|scope| {
                let threads: Vec<_> = (0..4).map(|seed| scope.spawn(move || run(x, seed))).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
            })
        };
        let (found, again) = (runs(&shared), (0..4).map(|seed| run(&shared, seed)).collect::<Vec<_>>());
        assert_eq!(found, again, "at once and one after another");
    });
}

/// A few rows of a large tensor move alone, to the device and back, and nothing is kept of them on the other side.
#[test]
fn a_small_part_of_a_tensor_moves_alone() {
    with_device(|device| {
        let set = noise::<f32>(&[1000, 30], 1);
        let there = noise::<f32>(&[4, 30], 2).to(device).unwrap();
        for round in 0..2 {
            let (y, counts) = counted(device, || Var::from(&there) + Var::from(set.slice(0, 8..12)));
            assert_eq!(counts.up, 4 * 4 * 30, "round {round}");
            assert_eq!(*y.value(), there.zip(&set.slice(0, 8..12), |a, b| a + b));
        }
        let mut part = set.slice(0, 8..12);
        let (_, counts) = counted(device, || update_alike(Clip { most: 1.0 }, [&mut part], &[&there]));
        assert_eq!(counts.up, 4 * 4 * 30, "an update of a part");
        let whole = set.to(device).unwrap();
        let row = whole.slice(0, 999..1000);
        for (read, bytes) in [
            (counted(device, || row.slice(1, 29..30).item() == set.to_vec()[29_999]), 4),
            (counted(device, || row.to_vec() == set.to_vec()[29_970..]), 120),
            (counted(device, || row.to(&Device::host()).unwrap() == set.slice(0, 999..1000)), 120),
            (counted(device, || whole.to_vec() == set.to_vec()), 120_000),
            (counted(device, || row.to_vec() == set.to_vec()[29_970..]), 0),
        ] {
            assert_eq!(read.1.down, bytes);
            assert!(read.0, "other values, of {bytes} bytes");
        }
    });
}

/// What a device failed with.
fn raised<R>(f: impl FnOnce() -> R) -> DeviceError {
    DeviceError::catch(f).err().expect("it must fail")
}

#[test]
fn other_panics_are_not_caught() {
    let panic = catch_unwind(|| DeviceError::catch(|| panic!("another"))).unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"another"));
}

/// [`Tensor::to`] promises an error where operations panic, so that it must not need any on the device.
#[test]
fn views_leave_a_device_without_an_operation() {
    with_device(|device| {
        let x = noise::<f32>(&[6, 5, 4], 1);
        let there = x.to(device).unwrap();
        let view = |x: &Tensor| x.slice(1, 1..3).permute([2, 0, 1]).slice(0, 0..1).broadcast_to([7, 6, 2]);
        let (found, counts) = counted(device, || view(&there).to(&Device::host()).unwrap());
        assert_eq!((found, counts.kernels), (view(&x), 0));
    });
}

#[test]
fn exhausted_memory_is_told_and_survived() {
    with_device(|device| {
        let most = device.info().unwrap().largest_piece;
        let n = (most / 4 + 1) as usize;
        let x = noise::<f32>(&[3], 1).to(device).unwrap();
        let error = raised(|| Var::from(x.slice(0, 0..1).broadcast_to([n])) + 1.0).to_string();
        for part in ["opencl:0", "ByElement", &format!("({n})"), "f32", "memory exhausted"] {
            assert!(error.contains(part), "{part} is missing in: {error}");
        }
        // As many as the machine counts, and one that it cannot.
        let endless = x.slice(0, 0..1).broadcast_to([1 << 40, 1 << 20]);
        assert!(raised(|| Var::from(&endless) + 1.0).to_string().contains("memory exhausted"));
        assert_eq!((Var::from(&x) + 1.0).value().to_vec().len(), 3, "the device goes on");
    });
}

/// A kernel whose form for devices is no OpenCL C.
struct Broken;

impl Kernel<f32> for Broken {
    fn cpu(&self, _inputs: Inputs<'_, f32>, _outputs: Outputs<'_, '_, f32>) {}

    fn opencl(&self, queue: &Queue, _inputs: Operands<'_>, outputs: Operands<'_>) -> Result<(), Unsupported> {
        let [y] = outputs.tensors();
        let source = Source { name: "broken", text: "kernel void broken(OUT(y)) { AT(y, 0) = undeclared; }" };
        Launch::<f32>::new(queue, source, "broken").operand(y).over([1; 3])
    }
}

#[test]
fn a_kernel_that_does_not_build_shows_what_the_compiler_says() {
    with_device(|device| {
        let x = noise::<f32>(&[1], 1).to(device).unwrap();
        let error = raised(|| compute(&Broken, &[&x], [Layout::row_major([1])])).to_string();
        for part in ["opencl:0", "broken: the program does not compile", "'undeclared'"] {
            assert!(error.contains(part), "{part} is missing in: {error}");
        }
    });
}

#[test]
fn double_precision_where_the_device_has_it() {
    with_device(|device| {
        let x = noise::<f64>(&[3], 1);
        match device.info().unwrap().has_f64 {
            true => assert_eq!((Var::from(x.to(device).unwrap()) * 3.0).value(), (Var::from(x) * 3.0).value()),
            false => assert!(x.to(device).unwrap_err().to_string().contains("cl_khr_fp64")),
        }
    });
}

#[test]
fn a_device_that_is_not_there() {
    with_device(|_| {
        let error = Device::opencl(77).unwrap_err().to_string();
        assert!(error.starts_with("opencl:77: no such device; there are devices 0 to "), "{error}");
        assert!("cuda".parse::<Device>().unwrap_err().to_string().contains("opencl:INDEX"));
        assert_eq!("opencl".parse::<Device>().unwrap(), Device::opencl(0).unwrap());
    });
}
