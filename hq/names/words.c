/* clang-format off: the lists are set by width */
#include "hq/names/names.h"

/* Adjectives that nobody minds on a router, before any surname. Sorted. */
static const char *const adjectives[] = {
    "able", "active", "adept", "agile", "airy", "alert", "alive", "amber", "ample", "amused", "apt", "ardent",
    "artful", "astute", "atomic", "august", "aureate", "autumn", "avid", "aware", "azure", "balanced", "balmy",
    "beaming", "benign", "blissful", "blithe", "bold", "bonny", "bouncy", "brave", "breezy", "bright", "brilliant",
    "brisk", "bronze", "bubbly", "buoyant", "busy", "calm", "candid", "careful", "caring", "casual", "cerulean",
    "charming", "cheery", "chipper", "chirpy", "civil", "classic", "clean", "clear", "clever", "cobalt", "comely",
    "composed", "constant", "content", "cool", "copper", "coral", "cordial", "cosmic", "courtly", "cozy", "crafty",
    "creative", "crimson", "crisp", "curious", "dapper", "daring", "dashing", "dauntless", "dazzling", "deft",
    "delicate", "devoted", "diligent", "direct", "doughty", "dreamy", "driven", "dulcet", "durable", "dutiful",
    "dynamic", "eager", "early", "earnest", "earthy", "easy", "elated", "elegant", "eloquent", "emerald", "eminent",
    "endless", "epic", "equable", "erudite", "esteemed", "eternal", "ethereal", "even", "exact", "expert",
    "exuberant", "fabled", "fair", "faithful", "famous", "fancy", "fearless", "fertile", "festive", "fine", "fleet",
    "floral", "flowing", "fluent", "focused", "fond", "forthright", "fortunate", "frank", "free", "fresh", "friendly",
    "frosty", "frugal", "fruitful", "gallant", "gentle", "genuine", "gifted", "glad", "gleaming", "glowing", "golden",
    "graceful", "gracious", "grand", "grateful", "green", "grounded", "handy", "happy", "hardy", "harmonic", "hazel",
    "hearty", "helpful", "heroic", "honest", "hopeful", "humble", "humming", "ideal", "impish", "indigo", "inspired",
    "intrepid", "inventive", "ivory", "jaunty", "jolly", "jovial", "joyful", "jubilant", "just", "keen", "kind",
    "kindly", "kindred", "lasting", "laughing", "lavish", "learned", "level", "light", "likable", "limber", "lithe",
    "lively", "logical", "loyal", "lucid", "lucky", "luminous", "lunar", "lyric", "magenta", "magic", "maroon",
    "mellow", "melodic", "merry", "mighty", "mild", "mindful", "mirthful", "misty", "modest", "musical", "mystic",
    "neat", "nifty", "nimble", "noble", "notable", "novel", "observant", "ochre", "olive", "opal", "open", "optimal",
    "orderly", "organic", "outgoing", "pacific", "patient", "peaceful", "pearly", "peppy", "perky", "placid",
    "plucky", "poetic", "poised", "polished", "polite", "practical", "precise", "prime", "pristine", "prompt",
    "proud", "prudent", "punctual", "pure", "purple", "quaint", "quick", "quiet", "quirky", "radiant", "rapid",
    "rare", "ready", "refined", "regal", "relaxed", "reliable", "resolute", "restful", "rhythmic", "robust",
    "romantic", "rosy", "round", "royal", "ruby", "rugged", "rustic", "sage", "sandy", "sapphire", "scarlet",
    "scenic", "secure", "sedate", "serene", "sharp", "shining", "shiny", "silent", "silken", "silver", "simple",
    "sincere", "sleek", "smart", "smiling", "smooth", "snappy", "snowy", "snug", "sociable", "soft", "solar", "solid",
    "sonic", "spirited", "splendid", "spruce", "stable", "starry", "steadfast", "steady", "stellar", "sterling",
    "stoic", "stout", "sturdy", "suave", "subtle", "sunlit", "sunny", "super", "supple", "sure", "swift", "tactful",
    "talented", "tender", "thankful", "thorough", "thrifty", "tidal", "tidy", "timely", "tireless", "topaz",
    "tranquil", "true", "trusty", "truthful", "unfazed", "upbeat", "upright", "urbane", "useful", "valiant", "velvet",
    "verdant", "vernal", "versatile", "vibrant", "vigilant", "violet", "vital", "vivid", "warm", "watchful", "wise",
    "witty", "wonderful", "woodland", "worthy", "youthful", "zealous", "zesty", "zippy",
};

/* Scientists, mathematicians, engineers and inventors, in ASCII spelling. Sorted. */
static const char *const surnames[] = {
    "abel", "agassiz", "agnesi", "alhazen", "allen", "ampere", "angstrom", "apgar", "archimedes", "aristarchus",
    "armstrong", "arrhenius", "aryabhata", "ashby", "atanasoff", "audubon", "avicenna", "avogadro", "babbage",
    "bacon", "baekeland", "baird", "banneker", "banting", "bardeen", "bartik", "barton", "becquerel", "bell", "benz",
    "berliner", "bernoulli", "berzelius", "bessemer", "bethe", "bhabha", "bhaskara", "blackburn", "blackwell", "bohm",
    "bohr", "boltzmann", "boole", "born", "bosch", "bose", "bouman", "boyle", "bragg", "brahe", "brahmagupta",
    "braille", "brattain", "braun", "brown", "brunel", "buffon", "bunsen", "burbank", "burnell", "cajal", "cannon",
    "cantor", "carnot", "carrier", "carson", "carver", "cassini", "cauchy", "cavendish", "cayley", "celsius", "cerf",
    "chadwick", "chandra", "chatelet", "chatterjee", "clarke", "clausius", "compton", "conway", "copernicus", "cori",
    "coulomb", "cray", "crick", "curie", "cuvier", "daguerre", "daimler", "dalton", "darwin", "davy", "dedekind",
    "deforest", "delbruck", "descartes", "dewar", "diesel", "diffie", "dijkstra", "diophantus", "dirac", "doppler",
    "driscoll", "dunlop", "dyson", "easley", "eastman", "eddington", "edison", "edwards", "ehrlich", "eiffel",
    "einstein", "elion", "engelbart", "eratosthenes", "ericsson", "euclid", "euler", "evans", "fahrenheit", "faraday",
    "farnsworth", "feinler", "fermat", "fermi", "feynman", "fibonacci", "fischer", "fleming", "foucault", "fourier",
    "franklin", "fraunhofer", "fresnel", "friedman", "fuller", "fulton", "gabor", "gagarin", "galileo", "galois",
    "galton", "galvani", "gamow", "ganguly", "gauss", "germain", "gibbs", "goddard", "goeppert", "goethals",
    "goldberg", "goldstine", "goldwasser", "golgi", "goodall", "goodyear", "gosling", "gould", "gutenberg", "haber",
    "hadamard", "hahn", "haldane", "haller", "halley", "hamilton", "hamming", "harrison", "harvey", "haslett",
    "hawking", "heaviside", "heisenberg", "helmholtz", "henry", "hermite", "herschel", "hertz", "hevesy", "heyrovsky",
    "hilbert", "hipparchus", "hodgkin", "hofstadter", "hollerith", "hooke", "hopper", "howe", "hubble", "humboldt",
    "hutton", "huxley", "huygens", "hypatia", "ising", "ives", "jackson", "jacobi", "jacquard", "jang", "jemison",
    "jenner", "jennings", "johnson", "joliot", "joule", "kalam", "kapitsa", "kaplan", "karman", "keldysh", "keller",
    "kelvin", "kepler", "khayyam", "khorana", "khwarizmi", "kilby", "kirch", "kirchhoff", "knuth", "koch",
    "kolmogorov", "kovalevskaya", "krebs", "kummer", "lagrange", "lalande", "lamarr", "lamport", "langmuir",
    "laplace", "lavoisier", "leakey", "leavitt", "lebesgue", "lederberg", "leeuwenhoek", "legendre", "leibniz",
    "lewin", "lichterman", "liebig", "linnaeus", "lipschitz", "liskov", "lister", "lobachevsky", "lorentz",
    "lovelace", "lovell", "lumiere", "lyell", "mach", "mahavira", "marconi", "matsumoto", "maxwell", "mayer",
    "mcclintock", "mclaren", "mcnulty", "meitner", "mendel", "mendeleev", "mercator", "merian", "merkle", "mestorf",
    "michelson", "millikan", "minkowski", "minsky", "mirzakhani", "moebius", "montalcini", "moore", "morse",
    "moseley", "nansen", "napier", "nash", "naur", "neumann", "newcomen", "newton", "nightingale", "nobel", "noether",
    "northcutt", "noyce", "oersted", "ohm", "oppenheimer", "ostwald", "otis", "otto", "parsons", "pascal", "pasteur",
    "pauli", "pauling", "pavlov", "payne", "peano", "perlman", "perrin", "pike", "planck", "plateau", "poincare",
    "poisson", "poitras", "porsche", "priestley", "proskuriakova", "ptolemy", "pythagoras", "rabin", "raman",
    "ramanujan", "ramsay", "rayleigh", "reaumur", "ricci", "ride", "riemann", "ritchie", "roentgen", "romer", "rubin",
    "rumford", "russell", "rutherford", "sabin", "sagan", "salk", "sammet", "scheele", "schroedinger",
    "schwarzschild", "seaborg", "semmelweis", "shannon", "shaw", "shirley", "shockley", "shtern", "siemens",
    "sikorsky", "sinoussi", "skolem", "snell", "snyder", "solomon", "somerville", "spence", "stallman", "stevin",
    "stokes", "stonebraker", "stroustrup", "sutherland", "swanson", "swirles", "talbot", "tarski", "tartaglia",
    "taussig", "taylor", "telford", "tereshkova", "tesla", "tharp", "thompson", "thomson", "torricelli", "torvalds",
    "townes", "turing", "urey", "varahamihira", "vaughan", "vesalius", "viete", "villani", "vinci", "visvesvaraya",
    "volhard", "volta", "waals", "wallace", "watson", "watt", "weber", "wegener", "weierstrass", "wescoff",
    "westinghouse", "weyl", "wheatstone", "whitney", "wien", "wiles", "williams", "williamson", "wilson", "wing",
    "wozniak", "wright", "wu", "yalow", "yonath", "young", "yukawa", "zeppelin", "zermelo", "zhukovsky", "ziegler",
    "zuse",
};

const char *const *np_names_adjectives(size_t *out_count)
{
    *out_count = sizeof adjectives / sizeof *adjectives;
    return adjectives;
}

const char *const *np_names_surnames(size_t *out_count)
{
    *out_count = sizeof surnames / sizeof *surnames;
    return surnames;
}
