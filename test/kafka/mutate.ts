/** A small random number generator (mulberry32): the same seed gives the same numbers. */
export function randomFrom(seed: number): (below: number) => number {
  let state = seed
  return below => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below)
  }
}

const extremes = [0, -1, 1, 0x7f, 0xff, 0x7fff, 0xffff, 0x7fffffff, -0x80000000, 61, 49, 12]

/** A copy of the bytes with one to four things wrong: bits, numbers, length, pieces twice or gone. */
export function mutate(bytes: Buffer, random: (below: number) => number): Buffer {
  let result: Buffer = Buffer.from(bytes)
  for (let times = 1 + random(4); times > 0; times--) result = mutateOnce(result, random)
  return result
}

function mutateOnce(bytes: Buffer, random: (below: number) => number): Buffer {
  const at = random(bytes.length)
  const extreme = extremes[random(extremes.length)]!
  switch (random(8)) {
    case 0:
    case 1:
      if (bytes.length > 0) bytes[at]! ^= 1 << random(8)
      return bytes
    case 2:
      if (bytes.length > 0) bytes[at] = random(256)
      return bytes
    case 3:
      if (at + 4 <= bytes.length) bytes.writeInt32BE(extreme, at)
      return bytes
    case 4:
      if (at + 2 <= bytes.length) bytes.writeInt16BE((extreme << 16) >> 16, at)
      return bytes
    case 5:
      return bytes.subarray(0, at)
    case 6:
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(random(at + 1), at), bytes.subarray(at)])
    default:
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(Math.min(bytes.length, at + 1 + random(8)))])
  }
}
