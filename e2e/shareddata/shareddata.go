// Package shareddata is the one place that knows where tests find the corpus of real DICOM files, golden trees and outside judges.
// Their licences and sizes keep them out of this repository; they lie in a folder named shared beside the checkout.
//
// A test asks for what it needs and goes on with the path:
//
//	file := shareddata.Dir(t, "data", "dicom", "ts", "MR_small.dcm")
//
// Where the corpus is not there the test is skipped and says so, unless CI=true: then it fails, because a green run
// without the corpus would say more than was tested. The environment variable DICOMESH_SHARED names the folder where it lies elsewhere.
package shareddata

import (
	"os"
	"path/filepath"
	"testing"
)

// Dir is the path of elem inside the shared folder, which exists. Otherwise the test ends here: skipped, or failed when CI=true.
func Dir(t testing.TB, elem ...string) string {
	t.Helper()
	if path, found := Find(elem...); found {
		return path
	}
	name := filepath.Join(append([]string{"shared"}, elem...)...)
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is not there, and CI=true: put the shared folder beside the checkout, or name it in DICOMESH_SHARED", name)
	}
	t.Skipf("%s is not there: put the shared folder beside the checkout, or name it in DICOMESH_SHARED", name)
	return ""
}

// Find is Dir for programs: the path of elem, and whether it is there.
func Find(elem ...string) (string, bool) {
	root, found := find()
	path := filepath.Join(append([]string{root}, elem...)...)
	return path, found && exists(path)
}

// find is the folder that DICOMESH_SHARED names, else the nearest folder named shared, with data in it, beside this folder or one that holds it.
func find() (string, bool) {
	if named := os.Getenv("DICOMESH_SHARED"); named != "" {
		return named, true
	}
	here, err := os.Getwd()
	if err != nil {
		return "", false
	}
	for {
		if shared := filepath.Join(here, "shared"); exists(filepath.Join(shared, "data")) {
			return shared, true
		}
		up := filepath.Dir(here)
		if up == here {
			return "", false
		}
		here = up
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
