"""What an edit that takes out a direction leaves of it: two .npy vectors, before and after."""
import math
import struct
import sys


def read(path):
    data = open(path, 'rb').read()
    length = struct.unpack('<H', data[8:10])[0]
    assert b"'<f8'" in data[:10 + length]
    return [x for x, in struct.iter_unpack('<d', data[10 + length:])]


def norm(vector):
    return math.sqrt(sum(x * x for x in vector))


before, after = (read(path) for path in sys.argv[1:3])
assert len(before) == len(after) and norm(before) > 0
print(f'{len(before)} values; what is left of the covariance is below 1e-6 of it:',
      norm(after) < 1e-6 * norm(before))
