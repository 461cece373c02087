package phantom

import (
	"encoding/binary"
	"fmt"
	"strconv"
)

// ct is a chest and abdomen, from the top of the lungs to the liver.
func ct() modality {
	return modality{name: "CT", class: ctImage, enhanced: enhancedCT, pixelSize: 2, frames: 1, describe: describeCT, paint: paintCT}
}

// chest are the parts of one body.
func chest(body int) []ellipsoid {
	v := func(part, value int) int { return vary(body, part, value) }
	parts := []ellipsoid{
		{0, 40, 0, v(1, 860), v(2, 600), 4000, fat},
		{0, 40, 0, v(1, 860) - 60, v(2, 600) - 60, 4000, muscle},
	}
	for side := -1; side <= 1; side += 2 {
		for rib := range 9 {
			parts = append(parts, ellipsoid{side * v(3, 640), -60 + rib%3*110, -880 + rib*220, 60, 130, 70, bone})
		}
	}
	parts = append(parts,
		ellipsoid{-v(4, 400), 0, -200, v(5, 300), v(6, 410), 850, lung},
		ellipsoid{v(4, 400), 0, -250, v(5, 280), v(6, 400), 800, lung},
		ellipsoid{-v(7, 340), 60, 850, v(8, 430), v(9, 380), 600, liver},
		ellipsoid{0, -120, -950, 55, 60, 700, air}, // trachea
		ellipsoid{110, -110, 150, v(10, 250), v(11, 220), 380, muscle},
		ellipsoid{130, -100, 150, v(10, 170), v(11, 150), 280, blood},
		ellipsoid{90, 220, 0, 75, 80, 3000, blood}, // aorta
		ellipsoid{0, 350, 0, v(12, 130), v(12, 120), 4000, bone},
		ellipsoid{0, 350, 0, v(12, 130) - 45, v(12, 120) - 45, 4000, marrow},
		ellipsoid{0, 455, 0, 55, 45, 4000, liquid},     // spinal canal
		ellipsoid{0, 510, 0, 35, 45, 4000, bone},       // spinous process
		ellipsoid{-450, 60, -300, 60, 60, 120, lesion}, // what a reader should find
		ellipsoid{-380, 180, 800, 110, 90, 150, lesion})
	return parts
}

// paintCT paints Hounsfield units plus 1024 in 12 of 16 bits. Sharp kernels (even series) are noisier.
func paintCT(v view, frame []byte) {
	hounsfield := [...]int{air: -1000, fat: -100, muscle: 50, lung: -860, blood: 170, bone: 700, marrow: 220, liquid: 10, liver: 95, lesion: 35, white: 0, gray: 0}
	if v.series == 1 {
		hounsfield[blood] = 45 // before contrast
	}
	tissues := make([]uint8, v.size*v.size)
	slice(chest(v.body), v.size, v.z, tissues)
	table(v.size, tissues)
	scale := 3 + 4*((v.series+1)%2)
	for i, t := range tissues {
		n := hounsfield[t] + 1024 + v.noise.bell()*scale
		binary.LittleEndian.PutUint16(frame[2*i:], uint16(min(max(n, 0), 4095)))
	}
}

// table is the couch that the patient lies on.
func table(size int, tissues []uint8) {
	for y := size * 86 / 100; y < size*88/100; y++ {
		for x := size / 6; x < size*5/6; x++ {
			if tissues[y*size+x] == air {
				tissues[y*size+x] = fat
			}
		}
	}
}

func describeCT(i Instance) []Element {
	kernels := []string{"B30f", "B70f", "B31f", "B60s"}
	names := []string{"Thorax nativ 5.0 B30f", "Thorax Lunge 5.0 B70f", "Thorax KM arteriell 5.0 B31f", "Abdomen KM venoes 5.0 B60s"}
	place := i.position()
	e := []Element{
		Text(0x0008103E, "LO", names[(i.series-1)%len(names)]), Text(0x00081090, "LO", "Phantomatom 64"), Text(0x00180010, "LO", "Nothing at all"),
		Text(0x00180015, "CS", "CHEST"), Text(0x00180022, "CS", "HELICAL MODE"), Text(0x00180050, "DS", "5.0"), Text(0x00180060, "DS", "120"),
		Text(0x00180090, "DS", "500"), Text(0x00181030, "LO", "Thorax Routine"), Text(0x00181100, "DS", "400.0"), Text(0x00181110, "DS", "1040"),
		Text(0x00181111, "DS", "570.00"), Text(0x00181120, "DS", "0"), Text(0x00181130, "DS", "134.5"), Text(0x00181140, "CS", "CW"), Text(0x00181150, "IS", "500"),
		Text(0x00181151, "IS", strconv.Itoa(180+i.number%40)), Text(0x00181152, "IS", strconv.Itoa(90+i.number%20)), Text(0x00181160, "SH", "WEDGE_3"),
		Text(0x00181170, "IS", "22"), Text(0x00181190, "DS", "1.2"), Text(0x00181210, "SH", kernels[(i.series-1)%len(kernels)]), Text(0x00185100, "CS", "HFS"),
		Numbers(0x00189305, "FD", 0.5), Numbers(0x00189306, "FD", 0.6), Numbers(0x00189307, "FD", 38.4), Numbers(0x00189309, "FD", 46.08),
		Numbers(0x00189311, "FD", 1.2), Text(0x00189323, "CS", "XYZ_EC"), Numbers(0x00189345, "FD", 7.25+float64(i.number%9)/100),
		Text(0x00200012, "IS", "2"), Text(0x00201041, "DS", place), Text(0x00281050, "DS", "40", "-600"), Text(0x00281051, "DS", "400", "1200"),
		Text(0x00281052, "DS", "-1024"), Text(0x00281053, "DS", "1"), Text(0x00281054, "LO", "HU"), Text(0x00281055, "LO", "WINDOW1", "WINDOW2"),
	}
	return with(e, privateCT(i)...)
}

// privateCT is what vendors keep for themselves: numbers of the slice, and a protocol that all slices of a series share.
func privateCT(i Instance) []Element {
	return []Element{
		Text(0x00190010, "LO", "PHANTOM CT VA0 COAD"), Text(0x00191061, "DS", fmt.Sprintf("%.4f", 7.5+float64(i.number%7)/16)), Numbers(0x00191090, "SL", int32(4000+i.number)),
		Numbers(0x00191091, "US", uint16(i.series), uint16(i.number)), Text(0x00191092, "CS", "OSTEO"), Raw(0x00191093, "OB", fill(i.SeriesInstanceUID(), 96)),
		Text(0x00210010, "LO", "PHANTOM MED"), Text(0x00211011, "DS", "0", "0"), Raw(0x00211020, "UN", fill(i.SOPInstanceUID(), 48)),
		Text(0x00290010, "LO", "PHANTOM CSA HEADER"), Text(0x00291008, "CS", "PHANTOM NUM 4"), Raw(0x00291010, "OB", fill("csa"+i.SeriesInstanceUID(), 3200)),
		Raw(0x00291020, "OB", []byte(fmt.Sprintf("<protocol series=\"%04d\" slices=\"%06d\" dose=\"none\"/> ", i.series, i.study.Instances))),
	}
}
