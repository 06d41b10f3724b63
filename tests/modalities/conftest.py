import os

import torch

# One thread: the tests are tiny, and sums must not depend on how many cores there are.
torch.set_num_threads(1)
# Read once, when the library is first imported.
os.environ["HF_HUB_OFFLINE"] = "1"
