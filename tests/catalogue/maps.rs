//! Pooling and upsampling, pixels and channels.

use crate::reference::{max, mean, pixel_shuffle, pixel_unshuffle, pool, reduce, sum, upsample, upsample_bilinear};
use crate::table::{Bad, Entry, Sampler, bad, entry};

pub fn entries(s: &mut Sampler) -> Vec<Entry> {
    let mut entries = pooling(s);
    entries.extend(resizing(s));
    entries.extend(bilinear(s));
    entries.extend(whole_maps(s));
    entries.extend(pixels_and_channels(s));
    entries
}

fn pooling(s: &mut Sampler) -> Vec<Entry> {
    let mut entries = Vec::new();
    for (kernel, stride, padding) in [
        ([2, 2], [2, 2], [0, 0]),
        ([3, 3], [2, 2], [1, 1]),
        ([3, 2], [1, 1], [0, 1]),
        ([1, 1], [1, 1], [0, 0]),
        ([2, 3], [3, 1], [1, 0]),
        ([1, 2], [2, 2], [0, 0]),
    ] {
        let mut maps = || {
            s.samples(&[&[&[2, 3, 5, 6]], &[&[1, 1, 3, 3]], &[&[0, 2, 4, 4]], &[&[2, 17, 7, 4]], &[&[7, 33, 16, 15]]])
        };
        let label = format!("kernel {kernel:?}, stride {stride:?}, padding {padding:?}");
        entries.extend([
            entry!("max_pool2d", maps(), |x| x[0].max_pool2d(kernel, stride, padding), |x| {
                pool(&x[0], [kernel, stride, padding], max)
            })
            .with(&label),
            entry!("avg_pool2d", maps(), |x| x[0].avg_pool2d(kernel, stride, padding), |x| {
                // The padding counts as zeros, so the mean is of all taps.
                pool(&x[0], [kernel, stride, padding], |pixels| sum(pixels) / (kernel[0] * kernel[1]) as f64)
            })
            .with(&label),
        ]);
    }
    // Equal values in a window, which is a kink.
    let ties = vec![vec![wengert::Tensor::from_vec([1, 1, 2, 4], vec![1.0, 1.0, 0.0, 2.0, 0.5, 1.0, 2.0, 2.0])]];
    let f = entry!("max_pool2d", ties, |x| x[0].max_pool2d([2, 2], [2, 2], [0, 0]), |x| {
        pool(&x[0], [[2, 2], [2, 2], [0, 0]], max)
    });
    entries.push(f.with("ties"));
    entries
}

fn resizing(s: &mut Sampler) -> Vec<Entry> {
    let mut entries = Vec::new();
    for factors in [[2, 2], [1, 3], [3, 2]] {
        let mut maps = || {
            s.samples(&[&[&[2, 3, 6, 6]], &[&[1, 1, 6, 6]], &[&[0, 2, 6, 6]], &[&[2, 17, 6, 6]], &[&[7, 33, 12, 12]]])
        };
        let label = format!("{factors:?}");
        entries.extend([
            entry!("upsample_nearest", maps(), |x| x[0].upsample_nearest(factors), |x| upsample(&x[0], factors))
                .with(&label),
            entry!("sum_blocks", maps(), |x| x[0].sum_blocks(factors), |x| {
                pool(&x[0], [factors, factors, [0, 0]], sum)
            })
            .with(&label),
        ]);
    }
    entries
}

fn bilinear(s: &mut Sampler) -> Vec<Entry> {
    let mut entries = Vec::new();
    for factors in [[2, 2], [1, 3], [4, 1], [3, 5]] {
        let maps = s.samples(&[
            &[&[2, 3, 4, 5]],
            &[&[1, 1, 1, 3]],
            &[&[0, 2, 3, 3]],
            &[&[2, 3, 0, 3]],
            &[&[2, 17, 3, 2]],
            &[&[3, 33, 12, 9]],
        ]);
        let f = entry!("upsample_bilinear", maps, |x| x[0].upsample_bilinear(factors), |x| {
            upsample_bilinear(&x[0], factors)
        });
        entries.push(f.with(format!("{factors:?}")));
    }
    entries
}

fn whole_maps(s: &mut Sampler) -> Vec<Entry> {
    let mut maps = || s.samples(&[&[&[2, 3, 5, 4]], &[&[1, 1, 1, 1]], &[&[0, 2, 3, 3]], &[&[7, 33, 16, 15]]]);
    let (average, mut largest) = (maps(), maps());
    // Equal values, which is a kink.
    largest.push(vec![wengert::Tensor::from_vec([1, 2, 1, 3], vec![1.0, 2.0, 2.0, 0.5, 0.5, 0.5])]);
    vec![
        entry!("global_avg_pool2d", average, |x| x[0].global_avg_pool2d(), |x| reduce(&x[0], &[2, 3], true, mean)),
        entry!("global_max_pool2d", largest, |x| x[0].global_max_pool2d(), |x| reduce(&x[0], &[2, 3], true, max)),
    ]
}

fn pixels_and_channels(s: &mut Sampler) -> Vec<Entry> {
    let mut entries = Vec::new();
    for r in [1, 2, 3] {
        let square = r * r;
        let maps = s.samples(&[
            &[&[2, 2 * square, 3, 4]],
            &[&[1, square, 1, 1]],
            &[&[0, square, 2, 2]],
            &[&[2, 0, 2, 2]],
            &[&[3, 17 * square, 5, 6]],
        ]);
        let f = entry!("pixel_shuffle", maps, |x| x[0].pixel_shuffle(r), |x| pixel_shuffle(&x[0], r));
        entries.push(f.with(r.to_string()));
        let maps = s.samples(&[
            &[&[2, 3, 2 * r, 4 * r]],
            &[&[1, 1, r, r]],
            &[&[0, 1, r, r]],
            &[&[2, 3, 0, r]],
            &[&[3, 17, 5 * r, 6 * r]],
        ]);
        let f = entry!("pixel_unshuffle", maps, |x| x[0].pixel_unshuffle(r), |x| pixel_unshuffle(&x[0], r));
        entries.push(f.with(r.to_string()));
    }
    entries
}

pub fn bad_calls() -> Vec<Bad> {
    vec![
        bad!("max_pool2d", [[2, 3, 4]], |x| x[0].max_pool2d([2, 2], [2, 2], [0, 0])),
        bad!("max_pool2d", [[1, 1, 2, 4]], |x| x[0].max_pool2d([3, 3], [1, 1], [0, 0]), "kernel [3, 3]"),
        bad!("max_pool2d", [[1, 1, 4, 4]], |x| x[0].max_pool2d([2, 2], [1, 1], [2, 0]), "padding [2, 0]"),
        bad!("max_pool2d", [[1, 1, 0, 4]], |x| x[0].max_pool2d([2, 2], [1, 1], [1, 0]), "padding [1, 0]"),
        bad!("avg_pool2d", [[1, 1, 4, 4]], |x| x[0].avg_pool2d([2, 2], [0, 1], [0, 0]), "stride [0, 1]"),
        bad!("avg_pool2d", [[4, 4]], |x| x[0].avg_pool2d([2, 2], [1, 1], [0, 0])),
        bad!("upsample_nearest", [[4, 4]], |x| x[0].upsample_nearest([2, 2])),
        bad!("upsample_nearest", [[1, 1, 4, 4]], |x| x[0].upsample_nearest([0, 2]), "[0, 2]"),
        bad!("sum_blocks", [[1, 1, 4, 5]], |x| x[0].sum_blocks([2, 2]), "[2, 2]"),
        bad!("sum_blocks", [[1, 4, 4]], |x| x[0].sum_blocks([2, 2])),
        bad!("upsample_bilinear", [[4, 4]], |x| x[0].upsample_bilinear([2, 2])),
        bad!("upsample_bilinear", [[1, 1, 4, 4]], |x| x[0].upsample_bilinear([2, 0]), "[2, 0]"),
        bad!("upsample_bilinear", [[1, 1, 4, 4]], |x| x[0].upsample_bilinear([2, usize::MAX]), "count"),
        bad!("global_avg_pool2d", [[3, 4, 4]], |x| x[0].global_avg_pool2d()),
        bad!("global_max_pool2d", [[3, 4, 4]], |x| x[0].global_max_pool2d()),
        bad!("global_max_pool2d", [[3, 4, 0, 4]], |x| x[0].global_max_pool2d(), "a pixel at least"),
        bad!("pixel_shuffle", [[4, 4, 4]], |x| x[0].pixel_shuffle(2)),
        bad!("pixel_shuffle", [[1, 6, 4, 4]], |x| x[0].pixel_shuffle(2), "2²"),
        bad!("pixel_shuffle", [[1, 6, 4, 4]], |x| x[0].pixel_shuffle(0), "0²"),
        bad!("pixel_shuffle", [[1, 6, 4, 4]], |x| x[0].pixel_shuffle(1 << 33)),
        bad!("pixel_unshuffle", [[4, 4]], |x| x[0].pixel_unshuffle(2)),
        bad!("pixel_unshuffle", [[1, 3, 4, 5]], |x| x[0].pixel_unshuffle(2), "by 2"),
        bad!("pixel_unshuffle", [[1, 3, 4, 4]], |x| x[0].pixel_unshuffle(0), "by 0"),
    ]
}
