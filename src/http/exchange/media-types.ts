/** A media range of the header `Accept`: `text/*;q=0.5`. */
interface Range {
  /** Media type in lower case, without parameters. */
  readonly type: string
  /** Preference from 0, not acceptable, to 1. */
  readonly quality: number
}

/** The media type in a header, without parameters. */
export const mediaTypeOf = (header: string): string => header.split(';', 1)[0]!.trim().toLowerCase()

/** The media ranges that a client accepts, in the order of the header. */
export function rangesOf(accept: string): readonly Range[] {
  return accept.split(',').flatMap(text => {
    const type = mediaTypeOf(text)
    const quality = /;\s*q\s*=\s*([\d.]+)/i.exec(text)?.[1]
    return type === '' ? [] : [{ type, quality: quality === undefined ? 1 : Number(quality) }]
  })
}
