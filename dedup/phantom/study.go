package phantom

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"strconv"
)

// Study describes one synthetic study: a pure description, of which any instance can be written at any time.
type Study struct {
	Number    int // from 1: says which patient, which body and which modality (CT, MR, ultrasound, and again)
	Series    int
	Instances int // of each series
	Size      int // rows and columns of a frame
	Frames    int // of each instance; 0 is as the modality has it: one, or for ultrasound a short cine
}

// Instance is one file of a study.
type Instance struct {
	study          Study
	series, number int // from 1
}

// ErrTooLarge says that the frames of one instance do not fit Pixel Data, whose length has 32 bits.
var ErrTooLarge = errors.New("more than 4 GB of frames in one instance")

// Check says whether the study can be written.
func (s Study) Check() error {
	if s.Number < 1 || s.Series < 1 || s.Instances < 1 || s.Frames < 0 {
		return fmt.Errorf("study %d of %d series of %d instances: there has to be at least one of each", s.Number, s.Series, s.Instances)
	}
	if s.Size < 8 || s.Size > 16384 {
		return fmt.Errorf("frames of %d by %d: from 8 to 16384 are possible", s.Size, s.Size)
	}
	if first := (Instance{s, 1, 1}); first.pixelBytes() >= undefined-1 {
		return fmt.Errorf("%d frames of %d by %d: %w", first.frames(), s.Size, s.Size, ErrTooLarge)
	}
	return nil
}

// UID is the study's Study Instance UID. Studies of other shapes are other studies.
func (s Study) UID() string { return UID("study", fmt.Sprintf("%+v", s)) }

// Modality is the study's modality as DICOM abbreviates it.
func (s Study) Modality() string { return s.modality().name }

// Patient is the patient's name. Nobody is called that.
func (s Study) Patient() string {
	greek := []string{"Alpha", "Beta", "Gamma", "Delta", "Epsilon", "Zeta", "Eta", "Theta", "Iota", "Kappa", "Lambda", "Mu"}
	return "Phantom^" + greek[(s.Number-1)%len(greek)] + strconv.Itoa(s.Number)
}

// modality is that of the study's number.
func (s Study) modality() modality {
	all := []func() modality{ct, mr, ultrasound}
	return all[(s.Number-1)%len(all)]()
}

// All are the study's instances, series by series.
func (s Study) All() iter.Seq[Instance] {
	return func(yield func(Instance) bool) {
		for series := range s.Series {
			for number := range s.Instances {
				if !yield(Instance{s, series + 1, number + 1}) {
					return
				}
			}
		}
	}
}

// Path is a relative path for the file: study, series and number, with slashes.
func (i Instance) Path() string {
	return fmt.Sprintf("study%02d-%s/series%02d/%05d.dcm", i.study.Number, i.study.Modality(), i.series, i.number)
}

// SOPInstanceUID is the instance's.
func (i Instance) SOPInstanceUID() string {
	return UID(i.study.UID(), strconv.Itoa(i.series), strconv.Itoa(i.number))
}

// SeriesInstanceUID is that of the instance's series.
func (i Instance) SeriesInstanceUID() string { return UID(i.study.UID(), strconv.Itoa(i.series)) }

func (i Instance) frames() int {
	if i.study.Frames > 0 {
		return i.study.Frames
	}
	return i.study.modality().frames
}

func (i Instance) pixelBytes() int64 {
	m := i.study.modality()
	return int64(i.frames()) * int64(m.pixelSize) * int64(i.study.Size) * int64(i.study.Size)
}

// Size is the length of the file.
func (i Instance) Size() int64 {
	pixels := i.pixelBytes()
	return int64(len(i.head())) + pixels + pixels%2
}

// head is the file up to its first frame.
func (i Instance) head() []byte {
	vr := "OW"
	if i.study.modality().pixelSize != 2 {
		vr = "OB"
	}
	file := File{Syntax: syntax(explicitLE), Elements: i.elements()}
	e := encoder{out: file.Bytes(), order: binary.LittleEndian}
	e.tag(pixelData)
	e.length(vr, uint32(i.pixelBytes()+i.pixelBytes()%2))
	return e.out
}

// Write writes the Part 10 file, holding one frame at a time. Each frame is one call of w's Write.
func (i Instance) Write(w io.Writer) error {
	m := i.study.modality()
	_, err := w.Write(i.head())
	frame := make([]byte, i.study.Size*i.study.Size*m.pixelSize)
	for f := 0; f < i.frames() && err == nil; f++ {
		m.paint(i.view(f), frame)
		_, err = w.Write(frame)
	}
	if err == nil && i.pixelBytes()%2 == 1 {
		_, err = w.Write([]byte{0})
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", i.Path(), err)
	}
	return nil
}

// view is what one frame looks at. Places run from -1000 to 1000 over the instances and their frames.
func (i Instance) view(frame int) view {
	seed := noise(((i.study.Number*1000+i.series)*100_000+i.number)*1_000_000 + frame)
	at, of := i.number-1, i.study.Instances
	if i.frames() > 1 && i.study.modality().time {
		at, of = frame, i.frames()
	} else if i.frames() > 1 {
		at, of = at*i.frames()+frame, of*i.frames()
	}
	return view{size: i.study.Size, body: i.study.Number, series: i.series, z: (2*at+1)*1000/of - 1000, noise: seed}
}
