package index

import (
	"os"
	"path/filepath"
)

// Locate says where the state of the tree at this path is: given, if the operator named a folder (--state); else the folder named state beside a tree that
// is itself named tree, which is how an agent's --data is laid out; else .dicomesh/state in the tree. It makes nothing, and the folder may not be there.
func Locate(tree, given string) (string, error) {
	if given != "" {
		return filepath.Abs(given)
	}
	tree, err := filepath.Abs(tree)
	if err != nil {
		return "", err
	}
	beside := filepath.Join(filepath.Dir(tree), "state")
	if info, err := os.Stat(beside); err == nil && info.IsDir() && filepath.Base(tree) == "tree" {
		return beside, nil
	}
	return filepath.Join(tree, ".dicomesh", "state"), nil
}
