import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import * as zlib from 'node:zlib'
import { expect } from 'chai'
import { type CompressionCodec, prepareCompression } from '../../src/kafka/compression.js'
import { noProducer, RecordBatchWriter } from '../../src/kafka/record-batch-writer.js'

const run = promisify(execFile)
const codecs: readonly CompressionCodec[] = ['lz4', 'zstd', 'gzip', 'snappy', 'none']
const hasNativeZstd = 'zstdDecompressSync' in zlib

describe('native packages that cannot be loaded', () => {
  let results: Record<string, string>
  before(async function () {
    this.timeout(60_000)
    await prepareCompression()
    const batchOf = (codec: CompressionCodec): string => {
      const writer = new RecordBatchWriter(10_000)
      writer.append(null, `in ${codec}${' and much more'.repeat(100)}`, undefined, 1)
      return writer.seal({ ...noProducer, codec }).toString('base64')
    }
    const batches = Object.fromEntries(codecs.map(codec => [codec, batchOf(codec)]))
    const here = (name: string): string => join(import.meta.dirname, name)
    const args = ['--import', 'tsx', '--import', here('without-packages.mjs'), here('reader-without-packages.ts')]
    const { stdout } = await run(process.execPath, [...args, JSON.stringify(batches)])
    results = JSON.parse(stdout)
  })

  it('are told to whoever reads what needs them, and are no damage of the log', () => {
    const { lz4, zstd } = results
    expect(lz4).to.match(/^lz4 is not available here: the package lz4-napi cannot be loaded \(Cannot find module .*\)$/)
    if (hasNativeZstd) expect(zstd).to.equal('in zstd')
    else expect(zstd).to.match(/^zstd is not available here: the package @bokuweb\/zstd-wasm cannot be loaded \(/)
  })

  it('are not missed by anything else', () => {
    const { gzip, snappy, none } = results
    expect([gzip, snappy, none]).to.deep.equal(['in gzip', 'in snappy', 'in none'])
    expect(results['writing gzip']).to.equal('delivered')
  })

  it('are told to whoever is to write with them: lz4 before the start, zstd with the first record', () => {
    expect(results['writing lz4']).to.match(/^delivery\.compression: lz4 is not available here: /)
    expect(results['writing zstd']).to.match(hasNativeZstd ? /^delivered$/ : /^zstd is not available here: /)
  })
})
