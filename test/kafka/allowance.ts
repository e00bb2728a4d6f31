import { DecompressedMemory } from '../../src/kafka/decompressed-memory.js'
import { DecompressionAllowance } from '../../src/kafka/packed-records.js'

/** What a test that is not about limits lets a response be decompressed to. */
export const allowance = (maxBytes = 128 * 1024 * 1024): DecompressionAllowance =>
  new DecompressionAllowance({ memory: new DecompressedMemory(maxBytes), responseMaxBytes: maxBytes })
