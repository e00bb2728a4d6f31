const EQUALS = 0x3d

/**
 * The bytes that a text in base64 stands for: the standard alphabet, with padding or without. `undefined`: it is not
 * base64.
 *
 *   AAH/ => 00 01 ff     Zm8= => fo     Zm8 => fo     fooba, Zm8==, Z-8= => undefined
 *
 * @param text its bytes in ASCII
 */
export function decodeBase64(text: Buffer): Buffer | undefined {
  let length = text.length
  if (text[length - 1] === EQUALS) {
    if (length % 4 !== 0) return undefined
    length -= text[length - 2] === EQUALS ? 2 : 1
  }
  const letters = text.toString('latin1', 0, length)
  // Node takes the alphabet for URLs as well, and skips every other character.
  if (length % 4 === 1 || letters.includes('-') || letters.includes('_')) return undefined
  const bytes = Buffer.from(letters, 'base64')
  return bytes.length === Math.floor((length * 3) / 4) ? bytes : undefined
}
