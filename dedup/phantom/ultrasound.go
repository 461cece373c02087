package phantom

// ultrasound is a beating heart in a sector, with a box of colour Doppler. Odd series are RGB, even ones YBR_FULL.
func ultrasound() modality {
	return modality{name: "US", class: usMultiFrame, enhanced: usMultiFrame, pixelSize: 3, frames: 12, time: true, describe: describeUS, paint: paintUS}
}

// paintUS paints one moment of two heartbeats.
func paintUS(v view, frame []byte) {
	beat := (v.z + 1000) % 1000 // thousandths of a beat
	open := beat
	if beat > 500 {
		open = 1000 - beat
	}
	tissues := make([]uint8, v.size*v.size)
	squeeze := 160 + open/5
	for _, p := range []ellipsoid{{0, 100, 0, 520, 620, 1, muscle}, {-150, 60, 0, squeeze, squeeze + 130, 1, blood}, {220, 80, 0, squeeze - 20, squeeze + 60, 1, blood},
		{-40, 520, 0, squeeze - 60, 120, 1, blood}, {250, -250, 0, 60, 50, 1, lesion}} {
		disc(tissues, v.size, p)
	}
	for y := range v.size {
		for x := range v.size {
			i := y*v.size + x
			r, g, b := v.sonar(x, y, int(tissues[i]), open)
			if v.series%2 == 0 {
				r, g, b = luma(r, g, b)
			}
			frame[3*i], frame[3*i+1], frame[3*i+2] = r, g, b
		}
	}
}

// sonar is the colour of one point: speckle that fades with depth inside the sector, flow in the chambers, black outside.
func (v *view) sonar(x, y, tissue, open int) (r, g, b uint8) {
	dx, depth := 2*x-v.size, y
	if depth < v.size/20 || abs(dx)*10 > depth*13 || dx*dx/4+depth*depth > v.size*v.size*9/10 {
		return 0, 0, 0
	}
	echo := [...]int{air: 60, muscle: 130, blood: 12, lesion: 220}[tissue]
	speckle := echo * (1000 - 500*depth/v.size) / 1000 * (16 + v.noise.bell()*2) / 16
	level := uint8(min(max(speckle, 0), 255))
	if tissue != blood || abs(dx) > v.size*6/10 {
		return level, level, level
	}
	flow := uint8(min(255, 60+open/3+int(v.noise.next()%50)))
	if dx < 0 {
		return flow, level, level // towards the probe
	}
	return level, level, flow
}

func abs(n int) int {
	if n < 0 {
		return -n
	}
	return n
}

// luma is RGB as YBR_FULL (PS3.3 C.7.6.3.1.2), in integers.
func luma(r, g, b uint8) (y, cb, cr uint8) {
	red, green, blue := int(r), int(g), int(b)
	clamp := func(n int) uint8 { return uint8(min(max(n/10000, 0), 255)) }
	return clamp(2990*red + 5870*green + 1140*blue + 5000), clamp(-1687*red - 3313*green + 5000*blue + 1_285_000),
		clamp(5000*red - 4187*green - 813*blue + 1_285_000)
}

func describeUS(i Instance) []Element {
	photometric := "RGB"
	if i.series%2 == 0 {
		photometric = "YBR_FULL"
	}
	region := Item{Elements: []Element{Numbers(0x00186012, "US", uint16(1)), Numbers(0x00186014, "US", uint16(1)), Numbers(0x00186016, "UL", uint32(2)),
		Numbers(0x00186018, "UL", uint32(0)), Numbers(0x0018601A, "UL", uint32(0)), Numbers(0x0018601C, "UL", uint32(i.study.Size-1)),
		Numbers(0x0018601E, "UL", uint32(i.study.Size-1)), Numbers(0x00186024, "US", uint16(3)), Numbers(0x00186026, "US", uint16(3)),
		Numbers(0x0018602C, "FD", 0.031), Numbers(0x0018602E, "FD", 0.031)}}
	views := []string{"Apical 4 chamber", "Apical 2 chamber", "Parasternal long axis", "Subcostal"}
	return []Element{
		Text(0x0008103E, "LO", views[(i.series-1)%len(views)]), Text(0x00081090, "LO", "Phantosound 7"), Text(0x00082111, "ST", "none"), Text(0x00082142, "IS", "1"),
		Text(0x00082144, "IS", "30"), Text(0x00180040, "IS", "30"), Text(0x00181030, "LO", "Echo adult"), Text(0x00181063, "DS", "33.333"), Text(0x00181066, "DS", "0"),
		Text(0x00181088, "IS", "72"), Text(0x00185010, "LO", "S5-1"), Text(0x00185050, "IS", "160"), Delimited(0x00186011, region),
		Numbers(0x00280002, "US", uint16(3)), Text(0x00280004, "CS", photometric), Numbers(0x00280006, "US", uint16(0)), Tags(0x00280009, 0x00181063),
		Text(0x00282110, "CS", "00"), Text(0x200D0010, "LO", "PHANTOM IMAGING DD 001"), Text(0x200D1001, "LO", "Exam 1"), Raw(0x200D1002, "OB", fill("us"+i.SeriesInstanceUID(), 2600)),
	}
}
