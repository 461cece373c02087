package phantom

import (
	"encoding/binary"
	"strconv"
)

const enhancedMR = "1.2.840.10008.5.1.4.1.1.4.1"

// mr is a head.
func mr() modality {
	return modality{name: "MR", class: mrImage, enhanced: enhancedMR, pixelSize: 2, frames: 1, describe: describeMR, paint: paintMR}
}

// head are the parts of one head.
func head(body int) []ellipsoid {
	v := func(part, value int) int { return vary(body, part, value) }
	x, y := v(1, 690), v(2, 860)
	parts := []ellipsoid{{0, 0, 0, x, y, 1150, fat}, {0, 0, 0, x - 40, y - 40, 1120, bone}, {0, 0, 0, x - 90, y - 90, 1080, liquid},
		{0, 0, 0, x - 110, y - 110, 1060, gray}, {0, 0, 0, x - 190, y - 190, 960, white}}
	for side := -1; side <= 1; side += 2 {
		parts = append(parts,
			ellipsoid{side * v(3, 300), -330, 150, 130, 210, 300, gray}, ellipsoid{side * v(3, 310), 340, 100, 120, 220, 350, gray},
			ellipsoid{side * 120, -120, 120, v(4, 75), v(5, 280), 360, liquid}, ellipsoid{side * 170, 230, 60, v(4, 70), v(5, 200), 300, liquid},
			ellipsoid{side * 200, 20, 30, 90, 150, 200, gray}, ellipsoid{side * 270, -560, -480, 110, 100, 130, liquid})
	}
	return append(parts, ellipsoid{0, 0, 100, 12, y - 120, 900, liquid}, ellipsoid{v(6, 260), -80, 250, v(7, 130), v(8, 120), 220, lesion},
		ellipsoid{v(6, 260), -80, 250, 60, 50, 110, liquid})
}

// weighting is how bright tissues are in one protocol.
type weighting struct {
	name, sequence string
	echo, repeat   string
	bright         [gray + 1]int
}

func weightings() []weighting {
	return []weighting{
		{"t1_se_tra", "SE", "9.1", "550", [gray + 1]int{fat: 1500, bone: 120, liquid: 260, gray: 720, white: 980, lesion: 560}},
		{"t2_tse_tra", "SE", "98", "4200.5", [gray + 1]int{fat: 1000, bone: 100, liquid: 2100, gray: 1050, white: 760, lesion: 1600}},
		{"t2_flair_tra", "SE\\IR", "120", "9000", [gray + 1]int{fat: 900, bone: 90, liquid: 160, gray: 1150, white: 850, lesion: 1900}},
		{"t1_se_tra_km", "SE", "9.1", "550", [gray + 1]int{fat: 1500, bone: 120, liquid: 260, gray: 740, white: 990, lesion: 1800}},
	}
}

// paintMR paints signal under a bias field: the coil hears the front left better.
func paintMR(v view, frame []byte) {
	all := weightings()
	bright := all[(v.series-1)%len(all)].bright
	tissues := make([]uint8, v.size*v.size)
	slice(head(v.body), v.size, v.z, tissues)
	for y := range v.size {
		for x := range v.size {
			i := y*v.size + x
			field := 1250 - 450*x/v.size - 150*y/v.size - 200*(2*y-v.size)*(2*y-v.size)/(v.size*v.size) // thousandths
			n := bright[tissues[i]]*field/1000 + v.noise.bell()*6
			if n < 0 {
				n = -n // magnitude images have no negative noise
			}
			binary.LittleEndian.PutUint16(frame[2*i:], uint16(min(n, 4095)))
		}
	}
}

func describeMR(i Instance) []Element {
	all := weightings()
	w := all[(i.series-1)%len(all)]
	e := []Element{
		Text(0x0008103E, "LO", w.name), Text(0x00081090, "LO", "Phantomedic 3T"), Text(0x00180015, "CS", "HEAD"), Text(0x00180020, "CS", w.sequence),
		Text(0x00180021, "CS", "SK"), Text(0x00180022, "CS", "PFP"), Text(0x00180023, "CS", "2D"), Text(0x00180024, "SH", "*se2d1"), Text(0x00180025, "CS", "N"),
		Text(0x00180050, "DS", "5.0"), Text(0x00180080, "DS", w.repeat), Text(0x00180081, "DS", w.echo), Text(0x00180083, "DS", "1"), Text(0x00180084, "DS", "123.253"),
		Text(0x00180085, "SH", "1H"), Text(0x00180086, "IS", "1"), Text(0x00180087, "DS", "3"), Text(0x00180088, "DS", "5.5"), Text(0x00180089, "IS", "256"),
		Text(0x00180091, "IS", "1"), Text(0x00180093, "DS", "100"), Text(0x00180094, "DS", "75"), Text(0x00180095, "DS", "130"), Text(0x00181030, "LO", w.name),
		Text(0x00181251, "SH", "Body"), Numbers(0x00181310, "US", uint16(0), 256, 192, 0), Text(0x00181312, "CS", "ROW"), Text(0x00181314, "DS", "90"),
		Text(0x00181315, "CS", "N"), Text(0x00181316, "DS", "0.0312"), Text(0x00185100, "CS", "HFS"), Text(0x00200012, "IS", "1"), Text(0x00201041, "DS", i.position()),
		Text(0x00281050, "DS", "900"), Text(0x00281051, "DS", "1900"), Text(0x00281055, "LO", "Algo1"),
		Text(0x00190010, "LO", "PHANTOM MR HEADER"), Text(0x00191008, "CS", "IMAGE NUM 4"), Text(0x00191009, "LO", "1.0"), Text(0x0019100B, "DS"),
		Text(0x00191012, "IS", strconv.Itoa(-i.number)), Numbers(0x00191015, "FD", 1.5, float64(i.number), -2.25), Text(0x00290010, "LO", "PHANTOM CSA HEADER"),
		Raw(0x00291010, "OB", fill("mr"+i.SOPInstanceUID(), 1400)), Raw(0x00291020, "OB", fill("mr"+i.SeriesInstanceUID(), 6000)),
	}
	return e
}
