package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/dicomesh/dicomesh/dedup/phantom"
)

// sample writes synthetic studies.
type sample struct {
	Out       string `required:"" placeholder:"DIR" help:"Folder for the files; made if it is not there. Files of the same name are replaced."`
	Studies   int    `default:"3" help:"How many studies: CT, MR, ultrasound, and again."`
	Series    int    `default:"2" help:"Series of each study."`
	Instances int    `default:"8" help:"Instances of each series."`
	Size      int    `default:"256" placeholder:"PX" help:"Rows and columns of a frame (${default})."`
	Frames    int    `default:"0" help:"Frames of each instance. 0: one, and for ultrasound a short cine."`
	JSON      bool   `help:"One line of JSON for each study."`
}

// Help is shown by dicomesh sample --help.
func (sample) Help() string {
	return `The patients are phantoms with something to see in them, and nobody is called as they are. The same flags write the same bytes on every machine.

Examples:

    dicomesh sample --out samples
    dicomesh sample --out big --studies 1 --series 1 --instances 1 --frames 6000`
}

// written is what one study came to.
type written struct {
	Path      string `json:"path"`
	Study     string `json:"study"`
	Modality  string `json:"modality"`
	Patient   string `json:"patient"`
	Series    int    `json:"series"`
	Instances int    `json:"instances"`
	Bytes     int64  `json:"bytes"`
}

// Run writes the studies one after another.
func (s *sample) Run(ctx context.Context, t *terminal) error {
	studies, err := s.plan()
	if err != nil {
		return err
	}
	var total, files int64
	for _, study := range studies {
		for i := range study.All() {
			total, files = total+i.Size(), files+1
		}
	}
	bar := t.progress("writing", total)
	defer bar.finish()
	for _, study := range studies {
		w, err := s.study(ctx, study, bar)
		if err == nil {
			err = s.print(t, w)
		}
		if err != nil {
			return err
		}
	}
	bar.finish()
	if !s.JSON {
		fmt.Fprintf(t.out, "%d files, %s\n", files, size(total))
	}
	return nil
}

// study writes one study's files; done hears of each byte.
func (s *sample) study(ctx context.Context, study phantom.Study, done io.Writer) (written, error) {
	w := written{Study: study.UID(), Modality: study.Modality(), Patient: study.Patient(), Series: study.Series}
	for i := range study.All() {
		if err := ctx.Err(); err != nil {
			return w, err
		}
		if err := s.write(i, done); err != nil {
			return w, err
		}
		w.Path, w.Bytes, w.Instances = filepath.Join(s.Out, filepath.Dir(filepath.Dir(i.Path()))), w.Bytes+i.Size(), w.Instances+1
	}
	return w, nil
}

// plan are the studies, all of which can be written.
func (s *sample) plan() ([]phantom.Study, error) {
	var studies []phantom.Study
	for n := range s.Studies {
		study := phantom.Study{Number: n + 1, Series: s.Series, Instances: s.Instances, Size: s.Size, Frames: s.Frames}
		if err := study.Check(); err != nil {
			return nil, fault{code: exitUsage, err: err, next: "see: dicomesh sample --help"}
		}
		studies = append(studies, study)
	}
	if len(studies) == 0 {
		return nil, fault{code: exitUsage, err: fmt.Errorf("--studies %d: there has to be at least one", s.Studies), next: "see: dicomesh sample --help"}
	}
	return studies, nil
}

// write makes one file. One that was there under its name is replaced as a whole.
func (s *sample) write(i phantom.Instance, done io.Writer) error {
	name := filepath.Join(s.Out, filepath.FromSlash(i.Path()))
	if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		return fault{code: exitFault, err: err, next: "name a folder that can be written with --out DIR"}
	}
	file, err := os.Create(name + ".part")
	if err != nil {
		return err
	}
	err = i.Write(io.MultiWriter(file, done))
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(name+".part", name)
	}
	if err != nil {
		_ = os.Remove(name + ".part") // what failed has its error already
	}
	return err
}

// print tells of one study.
func (s *sample) print(t *terminal, w written) error {
	if s.JSON {
		return json.NewEncoder(t.out).Encode(w)
	}
	_, err := fmt.Fprintf(t.out, "%s  %s  %d series, %d files, %s\n", w.Path, w.Patient, w.Series, w.Instances, size(w.Bytes))
	return err
}
