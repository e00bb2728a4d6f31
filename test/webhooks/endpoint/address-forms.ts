/** All ways to write an address of IPv4 as the host of a URL. */
export function hostsOf(v4: string): readonly string[] {
  const [a, b, c, d] = v4.split('.').map(Number) as [number, number, number, number]
  const whole = ((a << 24) | (b << 16) | (c << 8) | d) >>> 0
  const hex = (value: number, digits = 2): string => value.toString(16).padStart(digits, '0')
  const octal = (value: number): string => `0${value.toString(8)}`
  return [
    v4,
    `${v4}.`,
    String(whole),
    `0x${hex(whole, 8)}`,
    `0X${hex(whole, 8).toUpperCase()}`,
    `0${whole.toString(8)}`,
    [a, b, c, d].map(octal).join('.'),
    [a, b, c, d].map(part => `0x${hex(part)}`).join('.'),
    `${octal(a)}.${b}.0x${hex(c)}.${d}`,
    `${a}.${(b << 16) | (c << 8) | d}`,
    `${a}.${b}.${(c << 8) | d}`,
    v4.replace(/\d/g, digit => String.fromCodePoint(0xff10 + Number(digit))),
    v4.replaceAll('.', '。'),
    v4.replace(/\d/g, digit => `%3${digit}`),
    ...embeddedIn(v4).map(address => `[${address}]`)
  ]
}

/** All addresses of IPv6 that stand for one of IPv4. */
export function embeddedIn(v4: string): readonly string[] {
  const [a, b, c, d] = v4.split('.').map(Number) as [number, number, number, number]
  const group = (high: number, low: number): string => ((high << 8) | low).toString(16)
  const [first, second] = [group(a, b), group(c, d)]
  const [notFirst, notSecond] = [group(a ^ 255, b ^ 255), group(c ^ 255, d ^ 255)]
  return [
    `::ffff:${v4}`,
    `::FFFF:${first}:${second}`,
    `0:0:0:0:0:ffff:${first}:${second}`,
    `::${v4}`,
    `::${first}:${second}`,
    `::ffff:0:${v4}`,
    `::ffff:0:${first}:${second}`,
    `64:ff9b::${v4}`,
    `64:ff9b::${first}:${second}`,
    `64:ff9b:1::${first}:${second}`,
    `64:ff9b:1:${first}:${group(0, c)}:${group(d, 0)}::`,
    `2002:${first}:${second}::1`,
    `2001:0:${first}:${second}:0:0:f7f7:f7f7`,
    `2001:0:808:808:0:0:${notFirst}:${notSecond}`
  ]
}
