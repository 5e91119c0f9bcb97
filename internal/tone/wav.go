package tone

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
)

// Audio is mono sound; of a stereo file the first channel is taken.
type Audio struct {
	Rate    int // samples per second
	Samples []int16
}

// Last gives the last seconds of the audio, or all of it when it is shorter.
func (a Audio) Last(seconds float64) Audio {
	n := min(len(a.Samples), int(seconds*float64(a.Rate)))
	return Audio{a.Rate, a.Samples[len(a.Samples)-n:]}
}

// Report analyses the audio.
func (a Audio) Report() Report { return Analyse(a.Samples, a.Rate) }

// ReadFile reads a WAV file.
func ReadFile(path string) (Audio, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return Audio{}, fmt.Errorf("read audio: %w", err)
	}
	a, err := ParseWAV(b)
	if err != nil {
		return Audio{}, fmt.Errorf("read audio %s: %w", path, err)
	}
	return a, nil
}

// Format tags of the WAVE format.
const (
	tagPCM        = 1
	tagALaw       = 6
	tagMuLaw      = 7
	tagExtensible = 0xFFFE
)

// ParseWAV reads 16-bit PCM, A-law and µ-law WAV data. A file that is still being
// written, or whose writer died, has wrong lengths in its header: the samples
// that are there are returned then.
func ParseWAV(b []byte) (Audio, error) {
	if len(b) < 12 || string(b[:4]) != "RIFF" || string(b[8:12]) != "WAVE" {
		return Audio{}, errors.New("not a WAV file")
	}
	var a Audio
	var tag, channels, depth int
	for i := 12; i+8 <= len(b); {
		id, n := string(b[i:i+4]), int(binary.LittleEndian.Uint32(b[i+4:]))
		i += 8
		switch id {
		case "fmt ":
			if n < 16 || i+16 > len(b) {
				return Audio{}, errors.New("short fmt chunk")
			}
			tag = int(binary.LittleEndian.Uint16(b[i:]))
			channels = int(binary.LittleEndian.Uint16(b[i+2:]))
			a.Rate = int(binary.LittleEndian.Uint32(b[i+4:]))
			depth = int(binary.LittleEndian.Uint16(b[i+14:]))
		case "data":
			if channels == 0 || a.Rate == 0 {
				return Audio{}, errors.New("data before fmt, or no channels")
			}
			d := b[i:]
			if n > 0 && n < len(d) {
				d = d[:n]
			}
			var err error
			a.Samples, err = decode(d, tag, channels, depth)
			return a, err
		}
		if n > len(b)-i {
			break
		}
		i += n + n&1
	}
	return a, nil // a header and no sound yet
}

func decode(d []byte, tag, channels, depth int) ([]int16, error) {
	switch {
	case (tag == tagPCM || tag == tagExtensible) && depth == 16:
		x := make([]int16, 0, len(d)/2/channels)
		for i := 0; i+2 <= len(d); i += 2 * channels {
			x = append(x, int16(binary.LittleEndian.Uint16(d[i:])))
		}
		return x, nil
	case tag == tagMuLaw || tag == tagALaw:
		dec := MuLaw
		if tag == tagALaw {
			dec = ALaw
		}
		x := make([]int16, 0, len(d)/channels)
		for i := 0; i < len(d); i += channels {
			x = append(x, dec(d[i]))
		}
		return x, nil
	}
	return nil, fmt.Errorf("format %d with %d bits is not supported", tag, depth)
}

// WAV makes a 16-bit mono PCM file of the audio.
func (a Audio) WAV() []byte {
	n := 2 * len(a.Samples)
	b := make([]byte, 0, 44+n)
	b = append(b, "RIFF"...)
	b = binary.LittleEndian.AppendUint32(b, uint32(36+n))
	b = append(b, "WAVEfmt "...)
	b = binary.LittleEndian.AppendUint32(b, 16)
	b = binary.LittleEndian.AppendUint16(b, tagPCM)
	b = binary.LittleEndian.AppendUint16(b, 1)
	b = binary.LittleEndian.AppendUint32(b, uint32(a.Rate))
	b = binary.LittleEndian.AppendUint32(b, uint32(2*a.Rate))
	b = binary.LittleEndian.AppendUint16(b, 2)
	b = binary.LittleEndian.AppendUint16(b, 16)
	b = append(b, "data"...)
	b = binary.LittleEndian.AppendUint32(b, uint32(n))
	for _, s := range a.Samples {
		b = binary.LittleEndian.AppendUint16(b, uint16(s))
	}
	return b
}
