#!/usr/bin/env bash
# Makes the samples anew: half a second of speech, and a film of half a second, in every format that is read here.
set -euo pipefail
cd "$(dirname "$0")"
espeak-ng -v en -s 220 -w voice.wav "Good evening."
tool() { ffmpeg -v error -y -fflags +bitexact -i voice.wav -t 0.5 -flags +bitexact -map_metadata -1 "$@"; }
film() {
    ffmpeg -v error -y -f lavfi -i testsrc2=size=64x48:rate=10:duration=0.5 -i voice.wav -t 0.5 -fflags +bitexact -flags +bitexact \
        -map_metadata -1 "$@"
}
tool -ar 8000 speech.wav
tool -ar 8000 -c:a pcm_mulaw mulaw.wav
tool -b:a 32k speech.mp3
tool -ar 44100 -ac 2 -q:a 9 -id3v2_version 3 -metadata title=Evening -write_id3v1 1 tagged.mp3
tool -ar 24000 -b:a 24k speech.aac
tool -ar 24000 -b:a 24k speech.m4a
tool -ar 24000 -b:a 24k -movflags +frag_keyframe+empty_moov+default_base_moof -frag_duration 100000 fragments.m4a
tool -ar 8000 speech.flac
tool -c:a libopus -b:a 12k speech.opus
tool -ar 22050 -c:a libvorbis -q:a 0 speech.ogg
tool -c:a libopus -b:a 12k speech.webm
film -c:v libx264 -preset ultrafast -crf 50 -pix_fmt yuv420p -c:a aac -b:a 24k film.mp4
film -c:v libx264 -preset ultrafast -crf 50 -pix_fmt yuv420p -an -movflags +faststart silent.mp4
film -c:v libx264 -preset veryfast -bf 2 -crf 50 -pix_fmt yuv420p -an ahead.mp4
film -c:v libvpx -b:v 50k -c:a libopus -b:a 12k film.webm
film -c:v libvpx-vp9 -b:v 50k -an -live 1 live.webm
film -c:v libx264 -preset ultrafast -crf 50 -pix_fmt yuv420p -c:a libmp3lame -b:a 32k film.mkv
film -c:v libx264 -preset ultrafast -crf 50 -pix_fmt yuv420p -c:a aac -b:a 24k film.mov
rm voice.wav
