//! Animations: PNG files with several frames (APNG), which every browser plays; what knows only PNG shows the first.

use super::{Raster, encoder};
use crate::files::write_whole;
use anyhow::{Context, Result, ensure};
use std::path::Path;

/// How long the last frame stays before the animation begins again.
const PAUSE_MS: u16 = 2000;

/// Writes frames of one size into an animated PNG file that repeats for ever, `delay_ms` milliseconds for each and two
/// seconds for the last. Frames are asked for one by one, so that memory holds one.
///
/// # Errors
/// Names the path: there is no frame, one could not be made, two are not of the same size and channels, or writing
/// failed. An existing file is then left as it was.
pub fn write_animation(
    path: &Path,
    frames: impl ExactSizeIterator<Item = Result<Raster>>,
    delay_ms: u16,
) -> Result<()> {
    let bytes = animate(frames, delay_ms).with_context(|| format!("{}: cannot make an animation", path.display()))?;
    write_whole(path, &bytes)
}

fn animate(mut frames: impl ExactSizeIterator<Item = Result<Raster>>, delay_ms: u16) -> Result<Vec<u8>> {
    let count = frames.len();
    let first = frames.next().context("found no frame")??;
    let size = |frame: &Raster| [frame.width, frame.height, frame.channels];
    let expected = size(&first);
    let mut bytes = Vec::new();
    let mut encoder = encoder(&mut bytes, &first)?;
    encoder.set_animated(u32::try_from(count)?, 0)?;
    encoder.set_frame_delay(delay_ms, 1000)?;
    let mut writer = encoder.write_header()?;
    for (i, frame) in std::iter::once(Ok(first)).chain(frames).enumerate() {
        let frame = frame?;
        let found = size(&frame);
        ensure!(found == expected, "frame {i} is {found:?} (width, height, channels); expected {expected:?}");
        if i + 1 == count {
            writer.set_frame_delay(PAUSE_MS, 1000)?;
        }
        writer.write_image_data(&frame.pixels)?;
    }
    writer.finish()?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(width: usize, level: u8) -> Result<Raster> {
        let pixels = (0..width * 2 * 3).map(|i| level.wrapping_add(i as u8)).collect();
        Ok(Raster { width, height: 2, channels: 3, pixels })
    }

    #[test]
    fn every_frame_comes_back_with_its_delay() {
        let frames: Vec<Raster> = [0, 90, 200].map(|level| frame(5, level).unwrap()).into();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.png");
        write_animation(&path, frames.iter().cloned().map(Ok), 120).unwrap();
        let file = std::io::BufReader::new(std::fs::File::open(&path).unwrap());
        let mut reader = png::Decoder::new(file).read_info().unwrap();
        let control = reader.info().animation_control.unwrap();
        assert_eq!((control.num_frames, control.num_plays), (3, 0));
        for (frame, delay) in frames.iter().zip([120, 120, PAUSE_MS]) {
            let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
            reader.next_frame(&mut pixels).unwrap();
            assert!(pixels == frame.pixels);
            let control = reader.info().frame_control.unwrap();
            assert_eq!((control.delay_num, control.delay_den), (delay, 1000));
        }
    }

    #[test]
    fn what_cannot_be_animated_is_refused() {
        let error = |frames: Vec<Result<Raster>>| {
            let path = Path::new("no/such/directory/a.png");
            format!("{:#}", write_animation(path, frames.into_iter(), 100).unwrap_err())
        };
        let lost = || Err(anyhow::anyhow!("it is lost"));
        assert!(error(vec![]).contains("a.png: cannot make an animation: found no frame"));
        let odd = error(vec![frame(5, 0), frame(6, 0)]);
        assert!(odd.contains("frame 1 is [6, 2, 3] (width, height, channels); expected [5, 2, 3]"), "{odd}");
        for frames in [vec![lost(), frame(5, 0)], vec![frame(5, 0), lost()]] {
            assert!(error(frames).ends_with("a.png: cannot make an animation: it is lost"));
        }
        assert!(error(vec![frame(5, 0)]).contains("a.png: cannot write"));
    }
}
