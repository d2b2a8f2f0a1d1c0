use super::*;
use crate::data::Dataset;
use std::fs::{create_dir, create_dir_all, write};
use tempfile::{TempDir, tempdir};

const PLAIN: FolderOptions = FolderOptions { skip_corrupt: false, flatten: false };
const SKIP: FolderOptions = FolderOptions { skip_corrupt: true, flatten: false };
const FLATTEN: FolderOptions = FolderOptions { skip_corrupt: false, flatten: true };

/// A PNG file of these pixels.
pub(super) fn png(width: u32, height: u32, colour: png::ColorType, pixels: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(colour);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.write_header().unwrap().write_image_data(pixels).unwrap();
    bytes
}

/// A PNG file of one colour.
pub(super) fn plain(width: u32, height: u32, colour: [u8; 3]) -> Vec<u8> {
    png(width, height, png::ColorType::Rgb, &colour.repeat((width * height) as usize))
}

pub(super) fn jpeg(width: u16, height: u16, colour: jpeg_encoder::ColorType, pixels: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    jpeg_encoder::Encoder::new(&mut bytes, 100).encode(pixels, width, height, colour).unwrap();
    bytes
}

/// Two classes: two red squares, and a green and a blue one.
fn two_classes() -> TempDir {
    let dir = tempdir().unwrap();
    for (class, files) in [("b", [("2.png", [0, 255, 0]), ("1.PNG", [0, 0, 255])]), ("a", [("x.png", [255, 0, 0]); 2])]
    {
        create_dir(dir.path().join(class)).unwrap();
        for (name, colour) in files {
            write(dir.path().join(class).join(name), plain(10, 10, colour)).unwrap();
        }
    }
    write(dir.path().join("a/y.jpg"), jpeg(8, 8, jpeg_encoder::ColorType::Rgb, &[255, 0, 0].repeat(64))).unwrap();
    dir
}

#[track_caller]
fn refuses(dir: &Path, says: &[&str]) {
    let message = format!("{:#}", read_folder(dir, Split::Train, 8, PLAIN).unwrap_err());
    assert!(message.starts_with(dir.to_str().unwrap()), "{message}");
    for part in says {
        assert!(message.contains(part), "“{part}” is not in: {message}");
    }
}

fn first_pixels(set: &Images) -> Vec<[u8; 3]> {
    let mut pixels = vec![0; set.shape().numel()];
    (0..set.size().unwrap())
        .map(|i| {
            set.image(i, &mut pixels);
            [pixels[0], pixels[1], pixels[2]]
        })
        .collect()
}

#[test]
fn sub_folders_are_classes_in_the_order_of_names() {
    let dir = two_classes();
    write(dir.path().join(".hidden"), "").unwrap();
    write(dir.path().join("b/notes.txt"), "").unwrap();
    let (set, notes) = read_folder(dir.path(), Split::Train, 8, PLAIN).unwrap();
    assert_eq!((set.labels(), set.classes()), (&[0, 0, 1, 1][..], 2));
    assert_eq!((set.class_name(0), set.class_name(1)), ("a".into(), "b".into()));
    assert_eq!(set.shape(), ImageShape { channels: 3, height: 8, width: 8 });
    let colours = first_pixels(&set);
    assert_eq!(colours[2..], [[0, 0, 255], [0, 255, 0]], "1.PNG comes before 2.png");
    assert!(colours[1][0] > 250 && colours[1][1] < 5, "JPEG red: {:?}", colours[1]);
    assert!(notes.len() == 1 && notes[0].contains("left out 1 file that does not end in .png"), "{notes:?}");
    let (flat, _) = read_folder(&dir.path().join("b"), Split::Train, 8, PLAIN).unwrap();
    assert_eq!((flat.labels(), flat.classes()), (&[0, 0][..], 1));
}

#[test]
fn train_and_test_are_the_halves() {
    let dir = two_classes();
    let message = format!("{:#}", read_folder(dir.path(), Split::Test, 8, PLAIN).unwrap_err());
    assert!(message.contains("found no sub-folders train and test"), "{message}");
    let halves = tempdir().unwrap();
    create_dir(halves.path().join("test")).unwrap();
    std::fs::rename(dir.path(), halves.path().join("train")).unwrap();
    write(halves.path().join("test/only.png"), plain(9, 9, [1, 2, 3])).unwrap();
    assert_eq!(read_folder(halves.path(), Split::Train, 8, PLAIN).unwrap().0.labels(), [0, 0, 1, 1]);
    let (test, _) = read_folder(halves.path(), Split::Test, 8, PLAIN).unwrap();
    assert_eq!(first_pixels(&test), [[1, 2, 3]]);
}

#[test]
fn the_middle_square_is_resized() {
    let dir = tempdir().unwrap();
    // 4 columns of 2 pixels: black margins, the two halves of the square in the middle.
    let row: Vec<u8> = [[0; 3], [40, 50, 60], [80, 90, 100], [0; 3]].concat();
    write(dir.path().join("wide.png"), png(4, 2, png::ColorType::Rgb, &row.repeat(2))).unwrap();
    let (set, _) = read_folder(dir.path(), Split::Train, 1, PLAIN).unwrap();
    assert_eq!(first_pixels(&set), [[60, 70, 80]]);
}

#[test]
fn corrupt_files_are_named_and_left_out_only_on_request() {
    let dir = two_classes();
    let good = plain(10, 10, [9, 9, 9]);
    write(dir.path().join("a/cut.png"), &good[..good.len() / 2]).unwrap();
    write(dir.path().join("b/0.jpg"), "no picture").unwrap();
    refuses(
        dir.path(),
        &["a/cut.png: not a good PNG file", "b/0.jpg: found [6e, 6f, 20, 70] at the start", "--skip-corrupt"],
    );
    let (set, notes) = read_folder(dir.path(), Split::Train, 8, SKIP).unwrap();
    assert_eq!(set.labels(), [0, 0, 1, 1]);
    assert_eq!(first_pixels(&set)[2..], [[0, 0, 255], [0, 255, 0]]);
    assert!(
        notes[0].contains("a/cut.png") && notes[0].contains("b/0.jpg") && !notes[0].contains("--skip"),
        "{notes:?}"
    );
    let all = tempdir().unwrap();
    for i in 0..8 {
        write(all.path().join(format!("{i}.png")), "").unwrap();
    }
    refuses(all.path(), &["0.png", "4.png", "and 3 more corrupt files"]);
    let message = format!("{:#}", read_folder(all.path(), Split::Train, 8, SKIP).unwrap_err());
    assert!(message.contains("found no good image"), "{message}");
}

#[test]
fn folders_that_make_no_set_are_refused() {
    let dir = two_classes();
    refuses(&dir.path().join("no"), &["cannot open the data directory"]);
    refuses(&dir.path().join("a/x.png"), &["found a file, expected a directory"]);
    create_dir(dir.path().join("c")).unwrap();
    refuses(dir.path(), &["c: found no .png, .jpg, .jpeg, .jpe or .jfif file in it; it is empty; --skip-corrupt"]);
    create_dir(dir.path().join("c/deeper")).unwrap();
    refuses(dir.path(), &["c/deeper: found a folder in that of a class", "or --flatten"]);
    write(dir.path().join("beside.jpg"), "").unwrap();
    refuses(dir.path(), &["found 1 image beside 3 sub-folders", "with --flatten all are one class"]);
    let empty = tempdir().unwrap();
    refuses(empty.path(), &["found no .png, .jpg, .jpeg, .jpe or .jfif file in it, and no sub-folder; it is empty"]);
    for i in 0..257 {
        create_dir(empty.path().join(i.to_string())).unwrap();
    }
    refuses(empty.path(), &["found 257 sub-folders, expected at most 256"]);
}

fn read(dir: &Path, options: FolderOptions) -> (Images, Vec<String>) {
    read_folder(dir, Split::Train, 8, options).unwrap()
}

fn write_in(dir: &Path, name: &str, bytes: &[u8]) {
    create_dir_all(dir.join(name).parent().unwrap()).unwrap();
    write(dir.join(name), bytes).unwrap();
}

#[test]
fn what_systems_leave_behind_is_passed_over() {
    let dir = two_classes();
    let alone = read(dir.path(), PLAIN);
    for name in [
        "__MACOSX/a/._x.png",
        ".DS_Store",
        "Thumbs.db",
        "a/Thumbs.db",
        "a/.DS_Store",
        "a/desktop.ini",
        ".ipynb_checkpoints/x.png",
        "a/.ipynb_checkpoints/x.png",
        "@eaDir/x.png",
        "b/@eaDir/x.png/SYNOPHOTO_THUMB.jpg",
        "$RECYCLE.BIN/x.png",
        "lost+found/x.png",
    ] {
        write_in(dir.path(), name, b"no picture");
    }
    assert_eq!(read(dir.path(), PLAIN), alone);
    assert_eq!(read(dir.path(), FLATTEN), alone);
}

#[test]
fn all_endings_of_jpeg_files_are_read() {
    let dir = tempdir().unwrap();
    let picture = jpeg(8, 8, jpeg_encoder::ColorType::Rgb, &[9; 192]);
    for ending in ["jpg", "JPG", "jpeg", "jpe", "jfif", "JFIF"] {
        write_in(dir.path(), &format!("{ending}.{ending}"), &picture);
    }
    assert_eq!(read(dir.path(), PLAIN).0.size(), Some(6));
}

#[test]
fn flatten_takes_images_at_any_depth() {
    let dir = tempdir().unwrap();
    let colours = [[10; 3], [20; 3], [30; 3], [40; 3]];
    for (name, colour) in ["y/b.png", "x/1/2/a.png", "x/a.png", "x/0/z.png"].iter().zip(colours) {
        write_in(dir.path(), name, &plain(8, 8, colour));
    }
    refuses(dir.path(), &["x/0: found a folder in that of a class"]);
    let (set, notes) = read(dir.path(), FLATTEN);
    assert_eq!((set.labels(), set.class_name(0), notes), (&[0, 0, 0, 1][..], "x".into(), vec![]));
    assert_eq!(first_pixels(&set), [[40; 3], [20; 3], [30; 3], [10; 3]], "in the order of paths");
    // A file beside the classes' folders: then these are no classes.
    write_in(dir.path(), "w.png", &plain(8, 8, [50; 3]));
    refuses(dir.path(), &["found 1 image beside 2 sub-folders"]);
    let (set, _) = read(dir.path(), FLATTEN);
    assert_eq!((set.labels(), set.class_name(0)), (&[0; 5][..], "images".into()));
    // And one below the folder of no class.
    let inner = dir.path().join("x/1");
    let (set, _) = read(&inner, FLATTEN);
    assert_eq!((set.labels(), set.class_name(0)), (&[0][..], "2".into()));
}

#[cfg(unix)]
#[test]
fn links_may_lead_anywhere_but_back() {
    let dir = tempdir().unwrap();
    write_in(dir.path(), "set/x/a.png", &plain(8, 8, [1; 3]));
    write_in(dir.path(), "elsewhere/b.png", &plain(8, 8, [2; 3]));
    let set = dir.path().join("set");
    std::os::unix::fs::symlink(dir.path().join("elsewhere"), set.join("x/link")).unwrap();
    assert_eq!(first_pixels(&read(&set, FLATTEN).0), [[1; 3], [2; 3]]);
    std::os::unix::fs::symlink(&set, set.join("x/loop")).unwrap();
    let message = format!("{:#}", read_folder(&set, Split::Train, 8, FLATTEN).unwrap_err());
    assert!(message.contains("set/x/loop") && message.contains("leads back"), "{message}");
}

#[test]
fn a_class_without_images_keeps_its_number_if_that_is_wanted() {
    let dir = two_classes();
    create_dir(dir.path().join("aa")).unwrap();
    refuses(dir.path(), &["aa: found no .png"]);
    let (set, notes) = read(dir.path(), SKIP);
    assert_eq!((set.labels(), set.classes(), set.class_name(1)), (&[0, 0, 2, 2][..], 3, "aa".into()));
    assert!(notes.len() == 1 && notes[0].contains("1 class has no image and keeps its number: aa"), "{notes:?}");
    // One whose images are all corrupt is no other.
    write_in(dir.path(), "aa/x.png", b"no picture");
    create_dir(dir.path().join("c")).unwrap();
    let (set, notes) = read(dir.path(), SKIP);
    assert_eq!((set.labels(), set.classes()), (&[0, 0, 2, 2][..], 4));
    assert!(notes[1].contains("2 classes have no image and keep their numbers: aa, c"), "{notes:?}");
    let empty = tempdir().unwrap();
    create_dir(empty.path().join("a")).unwrap();
    let message = format!("{:#}", read_folder(empty.path(), Split::Train, 8, SKIP).unwrap_err());
    assert!(message.contains("found no .png, .jpg, .jpeg, .jpe or .jfif file in any of its sub-folders"), "{message}");
}

/// Four colours, so that each way of turning and mirroring the picture is another, and margins left and right.
fn four_colours(y: usize, x: usize) -> [u8; 3] {
    match (y < 8, x) {
        (_, 0..4 | 20..) => [0; 3],
        (true, 4..12) => [250, 20, 20],
        (true, _) => [20, 250, 20],
        (false, 4..12) => [20, 20, 250],
        (false, _) => [200, 200, 200],
    }
}

#[test]
fn pictures_are_turned_as_the_camera_was() {
    const HEIGHT: usize = 16;
    const WIDTH: usize = 24;
    for orientation in 1..=8 {
        // The picture as a camera held so stores it: what orientation(stored) shows is the picture.
        let (height, width) = if orientation < 5 { (HEIGHT, WIDTH) } else { (WIDTH, HEIGHT) };
        let seen = |y: usize, x: usize| match orientation {
            1 => (y, x),
            2 => (y, WIDTH - 1 - x),
            3 => (HEIGHT - 1 - y, WIDTH - 1 - x),
            4 => (HEIGHT - 1 - y, x),
            5 => (x, y),
            6 => (x, WIDTH - 1 - y),
            7 => (HEIGHT - 1 - x, WIDTH - 1 - y),
            _ => (HEIGHT - 1 - x, y),
        };
        let places = (0..height * width).map(|k| seen(k / width, k % width));
        let stored: Vec<u8> = places.flat_map(|(y, x)| four_colours(y, x)).collect();
        let exif = exif::tests::exif(orientation, orientation % 2 == 0);
        let plain = jpeg(width as u16, height as u16, jpeg_encoder::ColorType::Rgb, &stored);
        let segment = [b"Exif\0\0", &exif[..]].concat();
        let app1 = [&[0xff, 0xe1][..], &(segment.len() as u16 + 2).to_be_bytes(), &segment].concat();
        let photograph = [&plain[..2], &app1, &plain[2..]].concat();
        let mut info = png::Info::with_size(width as u32, height as u32);
        (info.color_type, info.exif_metadata) = (png::ColorType::Rgb, Some(exif.into()));
        let mut drawing = Vec::new();
        let encoder = png::Encoder::with_info(&mut drawing, info).unwrap();
        encoder.write_header().unwrap().write_image_data(&stored).unwrap();
        for bytes in [photograph, drawing] {
            let dir = tempdir().unwrap();
            write_in(dir.path(), "a.png", &bytes);
            let (set, _) = read_folder(dir.path(), Split::Train, 2, PLAIN).unwrap();
            let mut pixels = [0; 12];
            set.image(0, &mut pixels);
            let expected = [[250, 20, 20], [20, 250, 20], [20, 20, 250], [200; 3]].concat();
            let close = pixels.iter().zip(&expected).all(|(a, b): (&u8, &u8)| a.abs_diff(*b) < 8);
            assert!(close, "orientation {orientation}: {pixels:?}");
        }
    }
}

#[test]
fn pngs_with_small_faults_are_read_and_counted() {
    let dir = two_classes();
    let alone = read(dir.path(), PLAIN);
    for class in ["a", "b"] {
        let cut = plain(10, 10, [7; 3]);
        write_in(dir.path(), &format!("{class}/z.png"), &cut[..cut.len() - 12]);
    }
    let mut wrong = plain(10, 10, [7; 3]);
    let end = wrong.len() - 13;
    wrong[end] ^= 1; // the last byte of the checksum of IDAT
    write_in(dir.path(), "b/zz.png", &wrong);
    let (set, notes) = read(dir.path(), PLAIN);
    assert_eq!((set.labels(), alone.1), (&[0, 0, 0, 1, 1, 1, 1][..], vec![]));
    assert_eq!(first_pixels(&set)[5..], [[7; 3]; 2]);
    assert!(notes[0].starts_with("2 PNG files have no end (the chunk IEND); read all the same"), "{notes:?}");
    assert!(notes[0].contains("a/z.png") && notes[1].contains("b/zz.png") && notes.len() == 2, "{notes:?}");
    assert!(notes[1].starts_with("1 PNG file has wrong checksums; read all the same"), "{notes:?}");
}

#[test]
fn a_file_with_two_faults_has_one_line() {
    let dir = two_classes();
    let mut both = plain(10, 10, [7; 3]);
    let end = both.len() - 12;
    both.truncate(end);
    both[end - 1] ^= 1;
    write_in(dir.path(), "a/z.png", &both);
    let (_, notes) = read(dir.path(), PLAIN);
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(notes[0].starts_with("1 PNG file has wrong checksums and no end (the chunk IEND); read"), "{notes:?}");
}

#[cfg(unix)]
#[test]
fn names_in_messages_are_harmless() {
    let dir = tempdir().unwrap();
    for name in ["\x1b[2J/a\nb.png", "b/x.png"] {
        write_in(dir.path(), name, b"no picture");
    }
    refuses(dir.path(), &["\\u{1b}[2J/a\\nb.png: found [6e,"]);
    write_in(dir.path(), "\x1b[2J/good.png", &plain(8, 8, [1; 3]));
    let (set, notes) = read(dir.path(), SKIP);
    assert_eq!(set.class_name(0), "\\u{1b}[2J");
    assert!(notes.len() == 2 && !notes.concat().contains(['\x1b', '\n']), "{notes:?}");
}

#[test]
fn a_huge_file_is_not_read() {
    let dir = tempdir().unwrap();
    std::fs::File::create(dir.path().join("hole.png")).unwrap().set_len(1 << 40).unwrap();
    refuses(dir.path(), &["hole.png: found 1099511627776 bytes, expected at most 268435456"]);
}
