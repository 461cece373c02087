// Package demo shows dicomesh at work on one machine: three sites, each an agent in a process of its own, linked through UDP relays that can be cut.
//
// The story: a cluster is made and two sites join it with tokens; studies are received at different sites, reach all, and settle; the hospital is cut off, a
// study is received on each side, both are held, and both sides say why; the cut is mended, and all is level and settled by itself. In the end it is
// proved from outside, by what lies in the folders: equal archives, equal DICOMweb files, the same Part 10 bytes out as went in, every hash right.
//
// Nothing outside of one fresh folder is touched, no port is taken that was not free, and nothing runs any more when Run returns (but with Config.Keep).
package demo
