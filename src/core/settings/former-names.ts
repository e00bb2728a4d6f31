/** Parts of settings that had another name before the first release. A configuration that still has one is told the new one. */
const formerNames: ReadonlyMap<string, string> = new Map([
  ['dialects', 'apis'],
  ['maxLaneBytes', 'maxPartitionBytes'],
  ['slabBytes', 'segmentBytes'],
  ['handOverMs', 'revocationMs'],
  ['maxParkedRequests', 'maxWaitingRequests'],
  ['produceParkMs', 'produceWaitMs'],
  ['roomWaitMs', 'capacityWaitMs']
])

/** The path of a setting with the names of today; `undefined` when it has no former one. */
export function renamedPath(path: readonly string[]): readonly string[] | undefined {
  return path.some(part => formerNames.has(part)) ? path.map(part => formerNames.get(part) ?? part) : undefined
}

/** The same of an environment variable, whose words are joined with `_`. */
export function renamedVariable(name: string): string | undefined {
  const words = [...formerNames].map(([former, today]) => [variableWords(former), variableWords(today)] as const)
  const found = words.find(([former]) => `${name}_`.includes(`_${former}_`))
  return found && `${name}_`.replace(`_${found[0]}_`, `_${found[1]}_`).slice(0, -1)
}

const variableWords = (part: string): string => part.replace(/[A-Z]/g, capital => `_${capital}`).toUpperCase()
