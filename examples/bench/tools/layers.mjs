// node examples/bench/tools/layers.mjs FILE.cpuprofile [SECONDS]: how the CPU time of a gateway is shared by its layers, in a profile
// that `BENCH_NODE_FLAGS="--cpu-prof" npm run bench -- …` has written, without its first seconds. Kernel and native code count for the
// JavaScript that has called it; reads of the kernel have no caller, and are in `outside JavaScript`.
import { existsSync, readFileSync } from 'node:fs'
import { SourceMap } from 'node:module'
import { fileURLToPath } from 'node:url'

/** The first that fits a frame: its function without a file, or the source file. */
const LAYERS = [
  ['idle', /^\(idle\)/],
  ['collector', /^\(garbage collector\)/],
  ['outside JavaScript', /^\((?:program|root)\)/],
  ['writes to sockets', /^(?:write\w*String|writeBuffer|writev)$/],
  ['hashes', /^(?:hash|hmac|oneShotDigest)/],
  ['CRC', /crc/i],
  ['Fastify', /node_modules.(?:fastify|find-my-way|avvio)/],
  ['engine', /src.http.engine/],
  ['server and access', /src.(?:http.(?:server|access)|server|core.metrics)/],
  ['scan of the body', /src.core.json/],
  ['route', /src.(?:http|apis)/],
  ['producer', /src.(?:producer|verbs)/],
  ['wire', /src.(?:router|kafka)|node_modules.nact/],
  ['sockets and timers of Node', /^node:/],
  ['others of src', /src/]
]

const [file = '', skippedSeconds = '0'] = process.argv.slice(2)
const { nodes, samples, timeDeltas } = JSON.parse(readFileSync(file, 'utf8'))
const maps = new Map()

function mapOf(path) {
  if (!maps.has(path)) {
    const map = `${path}.map`
    maps.set(path, existsSync(map) ? new SourceMap(JSON.parse(readFileSync(map, 'utf8'))) : undefined)
  }
  return maps.get(path)
}

function sourceOf({ functionName, url, lineNumber, columnNumber }) {
  if (!url.startsWith('file:')) return url
  const path = fileURLToPath(url)
  return mapOf(path)?.findEntry(lineNumber, columnNumber).originalSource ?? path ?? functionName
}

const layerOf = text => LAYERS.find(([, pattern]) => pattern.test(text))?.[0]
const layers = new Map()
for (const node of nodes) {
  const { callFrame, id } = node
  if (!layers.has(id)) layers.set(id, undefined)
  // Native functions have no file, and belong to their caller, unless they have a layer of their own.
  const own = layerOf(callFrame.url === '' ? callFrame.functionName : sourceOf(callFrame))
  layers.set(id, own ?? layers.get(id) ?? 'other packages')
  for (const child of node.children ?? []) layers.set(child, layers.get(id))
}

let atMicros = 0
const micros = new Map()
for (const [at, id] of samples.entries()) {
  atMicros += timeDeltas[at]
  if (atMicros < Number(skippedSeconds) * 1e6) continue
  const layer = layers.get(id)
  micros.set(layer, (micros.get(layer) ?? 0) + (timeDeltas[at + 1] ?? 0))
}
const busy = [...micros].filter(([layer]) => layer !== 'idle').sort(([, one], [, other]) => other - one)
const total = busy.reduce((sum, [, time]) => sum + time, 0)
for (const [layer, time] of busy) console.log(`${((100 * time) / total).toFixed(1).padStart(5)} %  ${layer}`)
