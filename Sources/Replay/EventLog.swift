import CLMDB
import Catalog
