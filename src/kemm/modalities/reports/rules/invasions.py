"""Findings of single organs: where a tumour has grown, and what is seen in it."""

from __future__ import annotations

from kemm.modalities.reports.rules.spread import INVASION, TUMOUR_VERB, Finding

_TUMOUR = r"(?:tumor|carcinoma|adenocarcinoma|melanoma|malignan\w+|neoplasm|disease|involvement|invasion)"
_SMALL_WORDS = (
    r"(?: (?:to|into|through|beyond|focally|extensively|the|of|by|and|or|left|right|both|bilateral|adjacent"
    r"|surrounding|overlying|superficial|deep|inner|outer|its|wall|base|up|deeply|directly|also|partly|microscopic\w*|tumor))"
)


def into(structure: str, *, also: str = "", elsewhere: str = "margin", absent: str = "") -> Finding:
    """Growth of the tumour into a structure, however it is put.

    "invades the S", "S invasion: present", "S: involved", "S, negative for carcinoma", "no tumour in the S".
    """
    mentions = [
        rf"\b{TUMOUR_VERB}{_SMALL_WORDS}{{0,6}} {structure}",
        rf"\b{structure} (?:{INVASION}|extension)",
        *([also] if also else []),
    ]
    denials = [
        rf"\b{structure},? (?:is |are )?(?:negative for|free of|uninvolved|not involved|no (?:evidence|{_TUMOUR}))",
        rf"\bno {_TUMOUR}(?: is| seen| identified| present)? (?:in|of|into|within) (?:the )?{structure}",
        rf"\bbut not(?: (?:into|of|through|the|involving))* {structure}",
        *([absent] if absent else []),
    ]
    return Finding(
        mention="|".join(mentions),
        label=(
            rf"\b{structure}(?=\s?[:(]|,?\s{{1,2}}(?:is|are|was|were|not|negative|free|uninvolved|involved|positive"
            r"|invaded|infiltrated|absent|present)\b)"
        ),
        absent="|".join(denials),
        elsewhere=elsewhere,
    )


EXTRANODAL = Finding(
    mention=(
        r"\b(?:extra-?\s?nodal|extra-?\s?capsular)(?: (?:tumor|soft tissue))? (?:extension|invasion|spread"
        r"|involvement|growth|tumor)|\bperinodal (?:extension|invasion|spread|infiltration|fat invasion)"
        r"|\bextension (?:through|beyond) the (?:lymph )?nod(?:e|al) capsule|\b(?:ene|ece)\b(?=\s?[:(])"
    ),
    elsewhere=r"\brenal\b|prostat",
)
AIR_SPACES = Finding(mention=r"\b(?:tumor )?spread through (?:the )?air ?spaces?(?: \(stas\))?|\bstas\b")
PERINEPHRIC = into(
    r"(?:peri-?\s?(?:nephric|renal)(?: (?:adipose|soft|fatty|fibroadipose|fibrous))?(?: (?:tissues?|fat))?)",
    elsewhere=r"margin|kidney and peri|surrounding|including|cm from|mm from|lymph node|weigh",
)
RENAL_SINUS = into(
    r"(?:renal )?sinus(?: (?:adipose|soft|fat(?:ty)?))?(?: tissues?| fat)?",
    elsewhere=r"margin|cm from|mm from|lymph node|weigh|including",
)
RHABDOID = Finding(
    mention=r"\brhabdoid(?: (?:features?|differentiation|component|change|areas?|morphology|cells?|pattern))?",
    elsewhere=r"rhabdoid tumor",  # a disease of children, listed in forms
)

PARAMETRIUM = into(r"parametri(?:um|a|al)(?: (?:soft )?tissues?)?")

_DEPOSITS = (
    r"\b(?:number of )?(?:discontinuous )?(?:extramural |pericolonic |pericolorectal |mesenteric |satellite )?tumor"
    r" deposits?\b(?: ?\(s\))?"
)
_COUNTED = r"(?:\s?\([^()\n]{0,30}\))?\s?[:=]\s?"
DEPOSITS = Finding(
    mention=rf"{_DEPOSITS}(?!{_COUNTED}\d)",
    absent=rf"{_DEPOSITS}{_COUNTED}0\b",
    present=rf"{_DEPOSITS}{_COUNTED}[1-9]\d?\b",
)
PERFORATION = Finding(
    mention=r"\b(?:macroscopic |gross )?(?:tumor |bowel |colonic )?perforat(?:ion|ed)(?: of (?:the )?(?:tumor|bowel|colon))?",
    elsewhere=r"appendi|diverticul|perforating vessel|history",
)
BARRETT = Finding(mention=r"\bbarrett'?s?(?: (?:esophagus|mucosa|metaplasia|type))?", elsewhere=r"history of")
MACROVASCULAR = Finding(
    mention=(
        r"\bmacro-?\s?(?:scopic )?vascular (?:invasion|involvement)|\bmacroscopic (?:venous|portal vein|vein) invasion"
        r"|\b(?:tumor )?thromb(?:us|i)(?: is)?(?: present| seen| identified)? (?:in|within) (?:the |a )?(?:left |right |main |branch(?:es)? of (?:the )?)*(?:portal|hepatic) vein"
        r"|\b(?:portal|hepatic)(?: vein)?(?: \(large vessel\))? (?:invasion|thromb\w+|tumor thromb\w+)"
        r"|\binvasion of (?:the )?large vessels|\b(?:large|major) (?:portal |hepatic )?(?:vessel|vein) (?:\w+ )?(?:invasion|involvement)|\bvascular invasion \(?(?:large vessel|macroscopic)\)?"
        rf"|\b{TUMOUR_VERB}(?: (?:the|a|branch(?:es)?|of|left|right|main|large)){{0,5}} (?:portal|hepatic) veins?"
    ),
    label=(
        r"\bmacroscopic venous \(large vessel\) invasion|\b(?:macroscopic|large vessel)(?: \([^()\n]{0,30}\))?(?=\s?:)"
        r"|\b(?:major|large) (?:portal |hepatic )?ve(?:in|ssel)s?(?=\s?:)"
    ),
    elsewhere=r"margin|patent",
)
CIRRHOSIS = Finding(
    mention=r"\bcirrho(?:sis|tic)(?: (?:liver|change|nodules?))?",
    absent=r"\bnon-?\s?cirrhotic|\bwithout cirrhosis",
    elsewhere=r"history of|clinical",
)
SATELLITE_NODULES = Finding(
    mention=r"\bsatellit(?:es?|osis)\b(?: (?:tumor )?(?:nodules?|lesions?|foci|tumors?)(?: ?\(s\))?)?"
)
PERIPANCREATIC = into(r"peri-?\s?pancreatic(?: (?:soft|adipose|fatty|fibroadipose))*(?: tissues?| fat)?")

EXTRAPROSTATIC = Finding(
    mention=(
        r"\b(?:extra-?\s?prostatic|extra-?\s?capsular|extracapsular) (?:extension|invasion|spread|tumor|involvement)"
        rf"|\b{TUMOUR_VERB}(?: (?:the|into|through|beyond|outside|prostatic|prostate)){{0,4}} (?:peri-?\s?prostatic"
        r" (?:fat|soft tissue|adipose tissue|tissue)|extra-?\s?prostatic (?:fat|soft tissue|tissue))|\bepe\b"
        rf"|\b{TUMOUR_VERB} (?:through|beyond|outside) (?:the )?(?:prostatic )?capsule\b"
        r"|\bcapsular penetration|\bpenetrat\w+ (?:the )?(?:prostatic )?capsule"
    ),
    absent=(
        r"\b(?:organ[- ]confined|confined (?:to|within) (?:the )?(?:prostate|prostatic capsule|organ))(?: disease)?"
    ),
    elsewhere=r"lymph node|nodal",
)
SEMINAL_VESICLE = into(
    r"seminal vesicles?(?: ?\(s\))?(?:,? \(?(?:(?:left|right|bilateral|and) ?){1,3}\)?)?(?!\w)"
)
MUSCULARIS = into(
    r"(?:(?:detrusor|deep|superficial) )*(?:muscularis propria|detrusor muscle|detrusor)(?: \([^()\n]{0,30}\))?",
    absent=r"\b(?:muscularis propria|detrusor muscle) (?:is )?present(?: and|,)? (?:is )?(?:uninvolved|not involved|free|negative)",
    elsewhere=r"margin|(?:propria|muscle)(?: is|:)? present(?! and (?:is )?(?:un|not )?(?:involved|invaded|free|negative|infiltrated))",
)
IN_SITU_UROTHELIAL = Finding(
    mention=(
        r"\b(?:flat |urothelial |associated )*carcinoma[ -]{1,3}in[ -]{1,3}situ(?: \(cis\))?|\bcis\b"
        r"|\bin[ -]situ (?:urothelial )?carcinoma"
    )
)
RETE_TESTIS = into(r"(?:stroma of (?:the )?)?rete testis(?: stroma)?")
SPERMATIC_CORD = into(r"spermatic cord(?: soft tissue)?")

MICROVASCULAR_PROLIFERATION = Finding(
    mention=(
        r"\b(?:micro-?\s?vascular|vascular|endothelial|glomeruloid vascular)(?: cell)? (?:proliferation|hyperplasia)s?"
    )
)

ULCERATION = Finding(mention=r"\bulcerat(?:ion|ed)\b", elsewhere=r"stomach|gastric|history|healed")
SATELLITES = Finding(
    mention=(
        r"\b(?:micro-?\s?)?satellit(?:es?|osis)\b(?: ?\(s\))?(?: (?:nodules?|lesions?|metasta\w+|foci)(?: ?\(s\))?)?"
        r"|\bin[ -]transit metasta\w+"
    )
)
CILIARY_BODY = into(
    r"ciliary body",
    also=r"\bciliary body melanoma|\b(?:arising|located|centered) (?:in|from) (?:the )?(?:choroid and )?ciliary body",
)
EXTRASCLERAL = Finding(
    mention=(
        r"\bextra-?\s?(?:scleral|ocular)(?: (?:tumor|melanoma))? (?:extension|invasion|spread|growth|involvement)"
        r"|\btrans-?scleral extension|\bextend\w* (?:through|beyond|outside)(?: the)? sclera"
    ),
    absent=r"\bconfined (?:to|within) (?:the )?(?:globe|eye|sclera)",
)

EXTRATHYROIDAL = Finding(
    mention=(
        r"\bextra-?\s?thyroid(?:al|ial)?(?: soft tissue)? (?:extension|invasion|spread|involvement)"
        rf"|\b{TUMOUR_VERB}(?: (?:the|into|through|beyond|outside|adjacent)){{0,4}} (?:peri-?\s?thyroid(?:al)?"
        r" (?:soft tissue|fat|adipose tissue|tissue)|strap muscles?|skeletal muscle)"
        r"|\bextracapsular extension"
    ),
    absent=r"\bconfined to (?:the )?thyroid(?: gland)?|\blimited to (?:the )?thyroid(?: gland)?",
    elsewhere=r"lymph node|nodal",
)
CAPSULE = Finding(
    mention=(
        r"\b(?:tumor )?capsul(?:e|ar) (?:invasion|penetration|infiltration|involvement)"
        r"|\bcapsular(?:/| (?:or|and) )(?:\w+ ){0,2}?(?:(?:lympho)?vascular|venous|vein) invasion|\btranscapsular invasion"
        rf"|\b{TUMOUR_VERB}(?: (?:into|through|the|tumor|its|own|adrenal|thymic|beyond)){{0,4}} capsule"
        r"|\binvasion of (?:the )?(?:tumor |adrenal )?capsule"
    ),
    label=r"\bcapsul(?:e|ar)(?=\s?:)",
    elsewhere=r"lymph node|nodal|margin",
)

OVARIAN_SURFACE = into(
    r"(?:ovarian |capsular |tumor |external )?surface(?: of (?:the )?(?:left |right )?(?:ovary|tumor))?",
    also=r"\btumor (?:is )?(?:present )?on (?:the )?(?:ovarian |outer |external )?surface",
    elsewhere=r"margin|cut surface|serosal surface|peritoneal surface|liver|bowel",
)
RUPTURE = Finding(
    mention=r"\b(?:capsul\w+ |tumor |surgical |cyst )?ruptured?(?: of (?:the )?(?:capsule|tumor|cyst))?",
    label=r"\b(?:specimen |capsule )integrity(?=\s?:)",
    absent=(
        r"\b(?:capsule|specimen integrity|capsule integrity|tumor capsule)\s?(?::|is|appears)\s{0,2}(?:grossly )?intact"
        r"|\bcapsule intact|\bintact capsule|\bunruptured"
    ),
)
