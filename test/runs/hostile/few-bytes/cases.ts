import * as zlib from 'node:zlib'
import type { SeededRandom } from '../../../support/random.js'
import { type Route, routes } from './routes.js'
import { schemaRoutes } from './schema-routes.js'
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

const all = [...routes, ...schemaRoutes]

const KIB = 1024
/** Above 16 MiB a body is refused by its length. */
const MAX_BYTES = 15_000_000
/** Records of 128 KiB are read at once, bodies of operations of 256 KiB. */
const SIZES = [60 * KIB, 127 * KIB, 255 * KIB, 2_000_000, MAX_BYTES]
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

/** The route, its type, and what tells it apart. */
export const nameOf = ({ name, type, label }: Route): string => [name, type, ...(label ? [label] : [])].join(' ')

function caseOf(route: Route, shape: ShapeName, bytes: number, coding: string): Case {
  const make: Shape = shapes[shape]
  const made = Buffer.from(make(route.form, bytes))
  const body = CODINGS[coding]!(made)
  const isCoded = coding !== 'none'
  return {
    route,
    shape,
    name: `${nameOf(route)}: ${shape}, ${made.length} bytes, ${coding} (${body.length} bytes)`,
    headers: { 'content-type': route.type, ...route.headers, ...(isCoded && { 'content-encoding': coding }) },
    body
  }
}

/** Each route once with its worst known shape. They are made when they are asked for. */
export function* firstCases(): Generator<Case> {
  for (const route of all) {
    const isMany = route.worst.startsWith('many')
    const bytes = isMany ? (route.form.shortest.length + 1) * MANY_RECORDS : MAX_BYTES
    yield caseOf(route, route.worst, Math.min(bytes, route.maxBytes ?? MAX_BYTES), route.isPlain ? 'none' : 'gzip')
  }
}

export function drawnCase(random: SeededRandom): Case {
  const shape = random.pick(Object.keys(shapes) as ShapeName[])
  return caseOf(random.pick(all), shape, random.pick(SIZES), random.pick(Object.keys(CODINGS)))
}
