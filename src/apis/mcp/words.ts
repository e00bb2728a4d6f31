/**
 * Characters that a reader does not see, and a model does: marks of direction, of zero width, tags, controls, fillers, and
 * variations, which can spell whole texts. Line breaks and tabs stay.
 */
const INVISIBLE = /[\p{Cf}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]|(?![\n\r\t])\p{Cc}/gu

const escaped = (character: string): string => {
  let text = ''
  for (let at = 0; at < character.length; at++) text += `\\u${character.charCodeAt(at).toString(16).padStart(4, '0')}`
  return text
}

/**
 * Words of strangers: values, names, texts of Kafka.
 *
 *   a, zero width space, b   =>   a\u200bb
 */
export const visible = (text: string): string => text.replace(INVISIBLE, escaped)

/** A copy in which each text is {@link visible}, names of members included. It has no prototype where a name could be one of its members. */
export function visibleIn(value: unknown): unknown {
  if (typeof value === 'string') return visible(value)
  if (Array.isArray(value)) return value.map(visibleIn)
  if (typeof value !== 'object' || value === null) return value
  const copy: Record<string, unknown> = Object.create(null) as Record<string, unknown>
  for (const [name, member] of Object.entries(value)) if (member !== undefined) copy[visible(name)] = visibleIn(member)
  return copy
}
