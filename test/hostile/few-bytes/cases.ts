import * as zlib from 'node:zlib'
import type { SeededRandom } from '../../support/random.js'
import { type Route, routes } from './routes.js'
import { type Shape, type ShapeName, shapes } from './shapes.js'

/** One request that asks for much work. */
export interface Case {
  readonly route: Route
  readonly shape: ShapeName
  /** What a failure names: the route, its type, the shape, its size as decoded, and the coding. */
  readonly name: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer
}

const KIB = 1024
/** One byte less than 128 KiB is read at once. Above 16 MiB a body is refused by its length. */
const SIZES = [60 * KIB, 127 * KIB, 512 * KIB, 2_000_000, 15_000_000]
/** Just below the limit of a body. */
const MANY_RECORDS = 65_000

type Encode = (body: Buffer) => Buffer
const { zstdCompressSync } = zlib as { zstdCompressSync?: Encode }
const CODINGS: Readonly<Record<string, Encode>> = {
  none: body => body,
  gzip: body => zlib.gzipSync(body),
  deflate: body => zlib.deflateSync(body),
  br: body => zlib.brotliCompressSync(body, { params: { [zlib.constants.BROTLI_PARAM_QUALITY]: 4 } }),
  ...(zstdCompressSync && { zstd: body => zstdCompressSync(body) })
}

function caseOf(route: Route, shape: ShapeName, bytes: number, coding: string): Case {
  const make: Shape = shapes[shape]
  const made = Buffer.from(make(route.form, bytes))
  const body = CODINGS[coding]!(made)
  const isCoded = coding !== 'none'
  return {
    route,
    shape,
    name: `${route.name} ${route.type}: ${shape}, ${made.length} bytes, ${coding} (${body.length} bytes)`,
    headers: { 'content-type': route.type, ...route.headers, ...(isCoded && { 'content-encoding': coding }) },
    body
  }
}

/** Each route once with its worst known shape. They are made when they are asked for. */
export function* firstCases(): Generator<Case> {
  for (const route of routes) {
    const isMany = route.worst.startsWith('many')
    const bytes = isMany ? (route.form.shortest.length + 1) * MANY_RECORDS : SIZES.at(-1)!
    yield caseOf(route, route.worst, Math.min(bytes, SIZES.at(-1)!), 'gzip')
  }
}

export function drawnCase(random: SeededRandom): Case {
  const shape = random.pick(Object.keys(shapes) as ShapeName[])
  return caseOf(random.pick(routes), shape, random.pick(SIZES), random.pick(Object.keys(CODINGS)))
}
