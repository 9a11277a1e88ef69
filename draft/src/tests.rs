//! Tests of whole panels: sizes, determinism, differences, cancellation and hostile prompts.

use std::ops::ControlFlow;

use proptest::prelude::*;

use super::{DrawError, DrawnPanel, Panel, VERSION, buffer_bytes, draw};

fn panel(prompt: &str, width: u32, height: u32) -> Panel {
    Panel {
        prompt: prompt.to_owned(),
        negative_prompt: None,
        style: None,
        width,
        height,
        seed: 7,
        sample: 0,
        has_caption: true,
        is_card: false,
    }
}

fn drawn(panel: &Panel) -> DrawnPanel {
    draw(panel, &mut |_, _| ControlFlow::Continue(())).unwrap()
}

fn decoded(drawn: &DrawnPanel) -> (u32, u32, Vec<u8>) {
    let mut reader = png::Decoder::new(std::io::Cursor::new(&drawn.png)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    assert_eq!((info.color_type, info.bit_depth), (png::ColorType::Rgb, png::BitDepth::Eight));
    (info.width, info.height, pixels)
}

#[test]
fn a_card_is_its_text_in_the_middle_of_a_plain_ground() {
    let card = |text: &str| {
        let (width, height, pixels) = decoded(&drawn(&Panel { is_card: true, ..panel(text, 320, 180) }));
        assert_eq!((width, height), (320, 180));
        pixels
    };
    let pixels = card("The picture of shot a2 is missing");
    let ground = &pixels[..3];
    let inked: Vec<usize> = pixels
        .as_chunks::<3>()
        .0
        .iter()
        .enumerate()
        .filter(|(_, pixel)| pixel[..] != *ground)
        .map(|(index, _)| index)
        .collect();
    assert!(inked.len() > 200, "{}", inked.len());
    assert!(
        inked.iter().all(|index| (60..260).contains(&(index % 320)) && (30..150).contains(&(index / 320)))
    );
    assert_ne!(pixels, card("The picture of shot b1 is missing"));
}

#[test]
fn every_size_is_drawn_exactly() {
    for (width, height) in [(64, 64), (65, 64), (64, 2048), (2048, 64), (97, 131), (400, 67), (256, 144)] {
        for prompt in ["a lighthouse", "雨夜的街道", "a room", "space", "forest", ""] {
            for style in [None, Some("watercolor".to_owned()), Some("pixel-art".to_owned())] {
                let (wide, high, _) = decoded(&drawn(&Panel { style, ..panel(prompt, width, height) }));
                assert_eq!((wide, high), (width, height), "{prompt}");
            }
        }
    }
}

#[test]
fn sizes_outside_the_limits_are_refused() {
    for (width, height) in [(63, 64), (64, 63), (2049, 64), (64, 2049), (0, 0), (u32::MAX, u32::MAX)] {
        let refused = draw(&panel("sea", width, height), &mut |_, _| ControlFlow::Continue(()));
        assert!(matches!(refused, Err(DrawError::Size { .. })), "{width}×{height}");
        assert!(buffer_bytes(width, height) > 0);
    }
}

#[test]
fn the_same_panel_is_the_same_bytes_on_any_thread() {
    let panel = Panel { style: Some("watercolor".to_owned()), ..panel("守塔人 and the sea", 200, 120) };
    let first = drawn(&panel);
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let panel = panel.clone();
            std::thread::spawn(move || drawn(&panel))
        })
        .collect();
    for thread in threads {
        assert_eq!(thread.join().unwrap().png, first.png);
    }
}

#[test]
fn another_sample_seed_or_style_is_another_picture() {
    let base = panel("a town at a lake", 128, 128);
    let others = [
        Panel { sample: 1, ..base.clone() },
        Panel { seed: 8, ..base.clone() },
        Panel { style: Some("anime".to_owned()), ..base.clone() },
        Panel { negative_prompt: Some("people".to_owned()), ..base.clone() },
    ];
    let (_, _, pixels) = decoded(&drawn(&base));
    for other in others {
        let (_, _, changed) = decoded(&drawn(&other));
        let differing = pixels.iter().zip(&changed).filter(|(one, other)| one.abs_diff(**other) > 12).count();
        assert!(differing > pixels.len() / 10, "{other:?}: only {differing} of {}", pixels.len());
    }
}

#[test]
fn drawing_stops_at_each_step_when_told_to() {
    let mut steps = 0;
    let mut last = -1.0;
    draw(&panel("a harbour", 64, 64), &mut |fraction, _| {
        assert!(fraction > last && fraction <= 1.0);
        last = fraction;
        steps += 1;
        ControlFlow::Continue(())
    })
    .unwrap();
    assert!(steps >= 8);
    for stop_at in 0..steps {
        let mut seen = 0;
        let stopped = draw(&panel("a harbour", 64, 64), &mut |_, _| {
            seen += 1;
            if seen > stop_at { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert!(matches!(stopped, Err(DrawError::Cancelled)));
        assert_eq!(seen, stop_at + 1);
    }
}

#[test]
fn the_file_says_what_it_is() {
    let drawn = drawn(&panel("灯塔 at dusk", 64, 64));
    let reader = png::Decoder::new(std::io::Cursor::new(&drawn.png)).read_info().unwrap();
    let info = reader.info();
    let software = info.uncompressed_latin1_text.iter().find(|chunk| chunk.keyword == "Software").unwrap();
    assert_eq!(software.text, format!("reel draft {VERSION}"));
    let description = info.utf8_text.iter().find(|chunk| chunk.keyword == "Description").unwrap();
    assert_eq!(description.get_text().unwrap(), "灯塔 at dusk");
}

#[test]
fn a_picture_for_a_camera_fills_its_panel() {
    let bare = Panel {
        has_caption: false,
        is_card: false,
        style: Some("cinematic".to_owned()),
        ..panel("a harbour at noon", 320, 180)
    };
    let png = drawn(&bare).png;
    let mut reader = png::Decoder::new(std::io::Cursor::new(&png)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    reader.next_frame(&mut pixels).unwrap();
    let row = 320 * 3;
    // The mark is in the upper right corner, so the left halves of the first and the last row show the picture.
    for start in [0, 179 * row] {
        let black = pixels[start..start + row / 2].iter().filter(|&&value| value <= 6).count();
        assert!(black < row / 4, "{black} of {} samples are black", row / 2);
    }
}

#[test]
fn hostile_prompts_are_only_text() {
    let zalgo = format!("a{}b", "\u{0301}\u{0489}".repeat(50_000));
    let prompts = [
        "\u{202E}\u{202D}\u{2066}evil\u{2069}".to_owned(),
        "\0\u{1}\u{7F}\u{FEFF}\r\n\t".to_owned(),
        "👩‍👩‍👧‍👦🏳️‍🌈🇩🇪🏽".repeat(40),
        zalgo,
        "العربية עברית हिन्दी ไทย 한국어 አማርኛ".to_owned(),
        "\u{10FFFF}\u{E000}\u{FFFD}\u{200D}\u{200D}".to_owned(),
        "a".repeat(1024 * 1024),
        "海".repeat(350_000),
        " ".repeat(1024 * 1024),
        "…………. ‥ ⋯ \u{2028}\u{2029}".to_owned(),
    ];
    for prompt in prompts {
        for (width, height) in [(64, 64), (300, 90)] {
            let drawn = drawn(&panel(&prompt, width, height));
            assert!(drawn.png.len() < 400_000);
        }
    }
}

#[test]
fn all_styles_and_hours_are_drawn() {
    let styles = [
        "cinematic",
        "anime",
        "ghibli",
        "cyberpunk",
        "watercolor",
        "pixel-art",
        "photorealistic",
        "unheard of",
    ];
    let prompts = [
        "storm, castle, night",
        "close-up of an old man, snow",
        "aerial harbour, dawn",
        "train, car, cat, dog, robot",
        "two people, bridge, rain",
    ];
    for style in styles {
        for prompt in prompts {
            drawn(&Panel { style: Some(style.to_owned()), ..panel(prompt, 96, 80) });
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn garbage_never_panics(prompt in any::<String>(), seed in any::<u64>(), width in 64_u32..140, height in 64_u32..140) {
        let panel = Panel { seed, ..panel(&prompt, width, height) };
        prop_assert!(draw(&panel, &mut |_, _| ControlFlow::Continue(())).is_ok());
    }
}
