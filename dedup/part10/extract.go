package part10

import "github.com/dicomesh/dicomesh/dedup"

// Extract names one of the objects into which the root attributes of an instance are divided, so that what instances share is stored once.
type extract uint8

const (
	inRecord extract = iota // stays in the record: differs from instance to instance
	inPatient
	inStudy
	inSeries
	inImage
	extracts // how many there are
)

// types is the DeduppedType of each extract.
func (e extract) kind() dedup.Type {
	return [...]dedup.Type{dedup.TypeInstance, dedup.TypePatient, dedup.TypeStudy, dedup.TypeSeries, dedup.TypeImage}[e]
}

// LevelOf says which level of a study an attribute describes: TypePatient, TypeStudy or TypeSeries by the tables below, else TypeInstance. Answers to
// queries are made by it.
func LevelOf(t dedup.Tag) dedup.Type {
	if e := extractOf(t); e != inImage {
		return e.kind()
	}
	return dedup.TypeInstance
}

// extractOf says where a public root attribute goes. The tables follow the modules of PS3.3 and may grow: a reader merges by
// reference and never looks here. Private attributes always stay in the record, beside their creator.
//
// An attribute belongs where it repeats: one that the standard puts in the series but that modalities write for each
// instance (times of acquisition, say) would make an extract for each instance and is better left in the record.
func extractOf(t dedup.Tag) extract {
	switch t {
	// Patient Module, PS3.3 C.7.1.1, and Clinical Trial Subject, C.7.1.3.
	case 0x00100010, 0x00100020, 0x00100021, 0x00100022, 0x00100024, 0x00100026, 0x00100027, 0x00100028,
		0x00100030, 0x00100032, 0x00100033, 0x00100034, 0x00100035, 0x00100040, 0x00100101, 0x00101000, 0x00101001, 0x00101002,
		0x00101005, 0x00101040, 0x00101060, 0x00101081, 0x00101090, 0x00101100, 0x00102160, 0x00102201, 0x00102202,
		0x00102292, 0x00102293, 0x00102294, 0x00102295, 0x00102296, 0x00102297, 0x00102298, 0x00102299, 0x00104000,
		0x00120010, 0x00120020, 0x00120021, 0x00120030, 0x00120031, 0x00120040, 0x00120042, 0x00120062, 0x00120063, 0x00120064,
		0x00120081, 0x00120082, 0x00081120:
		return inPatient
	// General Study, C.7.2.1, Patient Study, C.7.2.2, Clinical Trial Study, C.7.2.3.
	case 0x0020000D, 0x00080020, 0x00080030, 0x00080050, 0x00080051, 0x00080090, 0x00080096, 0x0008009C, 0x0008009D,
		0x00081030, 0x00081032, 0x00081048, 0x00081049, 0x00081060, 0x00081062, 0x00081080, 0x00081084, 0x00081110,
		0x00101010, 0x00101020, 0x00101021, 0x00101022, 0x00101023, 0x00101024, 0x00101030, 0x00102000, 0x00102110, 0x00102180,
		0x00102203, 0x001021A0, 0x001021B0, 0x001021C0, 0x001021D0, 0x00120050, 0x00120051, 0x00120052, 0x00200010,
		0x00321032, 0x00321033, 0x00321034, 0x00321060, 0x00321064, 0x0032000A, 0x0032000C, 0x00380010, 0x00380014,
		0x00380060, 0x00380062, 0x00380064, 0x00380500:
		return inStudy
	// General Series, C.7.3.1, Clinical Trial Series, C.7.3.2, Frame of Reference, C.7.4.1, General Equipment, C.7.5.1,
	// and what SOP Common, C.12.1, says of a whole series.
	case 0x0020000E, 0x00080005, 0x00080021, 0x00080031, 0x00080060, 0x00080068, 0x00080070, 0x00080080, 0x00080081, 0x00080082,
		0x00081010, 0x0008103E, 0x0008103F, 0x00081040, 0x00081041, 0x00081050, 0x00081052, 0x00081070, 0x00081072,
		0x00081090, 0x00081111, 0x00081250, 0x00120060, 0x00120071, 0x00120072, 0x00180015, 0x00181000, 0x00181002, 0x00181008, 0x00181009,
		0x0018100A, 0x0018100B, 0x00181020, 0x00181030, 0x00181050, 0x00181200, 0x00181201, 0x00185100, 0x00200011, 0x00200052, 0x00200060,
		0x00201040, 0x00280120, 0x00400244, 0x00400245, 0x00400250, 0x00400251, 0x00400253, 0x00400254, 0x00400275:
		return inSeries
	// What commonly repeats from image to image of a series: General Image, C.7.6.1, Image Pixel, C.7.6.3, the
	// modality's technique, VOI.
	case 0x00080008, 0x00080016, 0x00080064, 0x00082111, 0x00082112, 0x00180010, 0x00180020, 0x00180021, 0x00180022, 0x00180023, 0x00180024, 0x00180025,
		0x00180050, 0x00180060, 0x00180080, 0x00180081, 0x00180082, 0x00180083, 0x00180084, 0x00180085, 0x00180086, 0x00180087, 0x00180088, 0x00180089,
		0x00180090, 0x00180091, 0x00180093, 0x00180094, 0x00180095, 0x00181100, 0x00181110, 0x00181111, 0x00181120, 0x00181130, 0x00181140,
		0x00181150, 0x00181160, 0x00181170, 0x00181190, 0x00181210, 0x00181250, 0x00181251, 0x00181310, 0x00181312, 0x00181314, 0x00181315, 0x00181316,
		0x00181010, 0x00181012, 0x00181016, 0x00181018, 0x00181019, 0x00200012, 0x00200020, 0x00200037, 0x00201002,
		0x00280002, 0x00280004, 0x00280006, 0x00280008, 0x00280010, 0x00280011, 0x00280030, 0x00280034, 0x00280100, 0x00280101, 0x00280102, 0x00280103,
		0x00280301, 0x00281050, 0x00281051, 0x00281052, 0x00281053, 0x00281054, 0x00281055, 0x00282110, 0x00282112, 0x00282114,
		0x00281101, 0x00281102, 0x00281103, 0x00281201, 0x00281202, 0x00281203:
		return inImage
	}
	return inRecord
}
