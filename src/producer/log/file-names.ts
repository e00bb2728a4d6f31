const DIGITS = 16
/** No log ever comes near it. */
const MAX_ID = 2 ** 52

/** Names of the log's files: an id of 16 digits, so that they sort as text, and what the file is. */
const name = (id: number, suffix: string): string => `${String(id).padStart(DIGITS, '0')}.${suffix}`

/** The id in a name, `undefined` for any other file, also where the next id could not be told from it. */
function idOf(fileName: string, suffix: string): number | undefined {
  const digits = fileName.slice(0, DIGITS)
  const isOurs = /^\d{16}$/.test(digits) && fileName === `${digits}.${suffix}`
  return isOurs && Number(digits) < MAX_ID ? Number(digits) : undefined
}

export const segmentName = (id: number): string => name(id, 'slab')
export const segmentIdOf = (fileName: string): number | undefined => idOf(fileName, 'slab')

export const journalName = (id: number): string => name(id, 'progress')
export const journalIdOf = (fileName: string): number | undefined => idOf(fileName, 'progress')

/** Several segments on their way to become one. */
export const mergeName = (id: number): string => name(id, 'merge')
export const mergeIdOf = (fileName: string): number | undefined => idOf(fileName, 'merge')

/** A finished segment whose file is going to be another one. */
export const spareName = (id: number): string => name(id, 'spare')
export const spareIdOf = (fileName: string): number | undefined => idOf(fileName, 'spare')
