export type PackageName = 'castellan' | 'castellan-client' | 'castellan-testing'
export const ENTRIES: Readonly<Record<PackageName, Readonly<Record<string, string>>>>
export function bundle(name: PackageName, target: string, builtIn?: readonly string[]): Promise<string[]>
