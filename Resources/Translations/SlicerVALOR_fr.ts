<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE TS>
<TS version="2.1" language="fr_FR" sourcelanguage="en_US">
  <context>
    <name>PointCloudRegistration</name>
    <message>
      <source>VALOR Point Cloud Registration</source>
      <translation>VALOR Recalage de nuages de points</translation>
    </message>
    <message>
      <source>Carries organ surfaces onto those of another patient or day; organs may slide along each other. For research; not for diagnostic use.</source>
      <translation>Porte les surfaces d'organes sur celles d'un autre patient ou d'un autre jour ; les organes peuvent glisser l'un sur l'autre. Pour la recherche ; pas pour le diagnostic.</translation>
    </message>
    <message>
      <source>Built on the published MO-BCPD method.</source>
      <translation>Fondé sur la méthode publiée MO-BCPD.</translation>
    </message>
    <message>
      <source>Carries the moving organs onto the fixed ones; Cancel ends it at any time</source>
      <translation>Porte les organes mobiles sur les fixes ; Annuler y met fin à tout moment</translation>
    </message>
    <message>
      <source>Select fixed and moving organs</source>
      <translation>Choisissez les organes fixes et mobiles</translation>
    </message>
    <message>
      <source>Fixed and moving organs must not be the same</source>
      <translation>Les organes fixes et mobiles doivent différer</translation>
    </message>
    <message>
      <source>No organ has the same name on both sides</source>
      <translation>Aucun organe ne porte le même nom des deux côtés</translation>
    </message>
    <message>
      <source>Include at least one organ</source>
      <translation>Incluez au moins un organe</translation>
    </message>
    <message>
      <source>The result was removed; the views show what they showed before.</source>
      <translation>Le résultat a été retiré ; les vues montrent ce qu'elles montraient avant.</translation>
    </message>
    <message>
      <source>Uncertainty (1 sigma, mm)</source>
      <translation>Incertitude (1 sigma, mm)</translation>
    </message>
    <message>
      <source>Displacement (mm)</source>
      <translation>Déplacement (mm)</translation>
    </message>
    <message>
      <source>Organ</source>
      <translation>Organe</translation>
    </message>
    <message>
      <source>Drawing points on the surfaces</source>
      <translation>Tirage des points sur les surfaces</translation>
    </message>
    <message>
      <source>Measuring the result</source>
      <translation>Mesure du résultat</translation>
    </message>
    <message>
      <source>Measured</source>
      <translation>Mesuré</translation>
    </message>
    <message>
      <source>Apply: register {count} organs</source>
      <translation>Appliquer : recaler {count} organes</translation>
    </message>
    <message>
      <source>Saving failed.</source>
      <translation>L'enregistrement a échoué.</translation>
    </message>
    <message>
      <source>Organs</source>
      <translation>Organes</translation>
    </message>
    <message>
      <source>{name} moves with the organs now.</source>
      <translation>{name} suit maintenant les organes.</translation>
    </message>
    <message>
      <source>{count} files saved in {folder}</source>
      <translation>{count} fichiers enregistrés dans {folder}</translation>
    </message>
    <message>
      <source>Install…</source>
      <translation>Installer…</translation>
    </message>
    <message>
      <source>Ask, then install the missing packages</source>
      <translation>Demander, puis installer les paquets manquants</translation>
    </message>
    <message>
      <source>Fixed organs:</source>
      <translation>Organes fixes :</translation>
    </message>
    <message>
      <source>Segmentation or model that stays where it is</source>
      <translation>Segmentation ou modèle qui reste en place</translation>
    </message>
    <message>
      <source>Select organs</source>
      <translation>Choisir des organes</translation>
    </message>
    <message>
      <source>with models:</source>
      <translation>avec les modèles :</translation>
    </message>
    <message>
      <source>Further models of this side, one an organ; organs are matched by name</source>
      <translation>Autres modèles de ce côté, un par organe ; les organes sont associés par leur nom</translation>
    </message>
    <message>
      <source>no more models</source>
      <translation>pas d'autre modèle</translation>
    </message>
    <message>
      <source>Moving organs:</source>
      <translation>Organes mobiles :</translation>
    </message>
    <message>
      <source>Segmentation or model that is carried over</source>
      <translation>Segmentation ou modèle qui est porté</translation>
    </message>
    <message>
      <source>Point spacing:</source>
      <translation>Écart des points :</translation>
    </message>
    <message>
      <source>Distance of the points on the surfaces; smaller is slower</source>
      <translation>Distance des points sur les surfaces ; plus petit est plus lent</translation>
    </message>
    <message>
      <source> mm</source>
      <translation> mm</translation>
    </message>
    <message>
      <source>Organs by name: which take part, how coherent and how far each moves</source>
      <translation>Organes par nom : lesquels participent, avec quelle cohérence et de combien chacun bouge</translation>
    </message>
    <message>
      <source>All</source>
      <translation>Tous</translation>
    </message>
    <message>
      <source>Include every organ both sides have</source>
      <translation>Inclure chaque organe présent des deux côtés</translation>
    </message>
    <message>
      <source>None</source>
      <translation>Aucun</translation>
    </message>
    <message>
      <source>Leave every organ out</source>
      <translation>Exclure tous les organes</translation>
    </message>
    <message>
      <source>Which organs move together</source>
      <translation>Quels organes bougent ensemble</translation>
    </message>
    <message>
      <source>Coupling:</source>
      <translation>Couplage :</translation>
    </message>
    <message>
      <source>Each organ by itself, all together, or a matrix</source>
      <translation>Chaque organe seul, tous ensemble, ou une matrice</translation>
    </message>
    <message>
      <source>0: two organs move by themselves, 1: as one</source>
      <translation>0 : deux organes bougent séparément, 1 : comme un seul</translation>
    </message>
    <message>
      <source>Method and options</source>
      <translation>Méthode et options</translation>
    </message>
    <message>
      <source>Method:</source>
      <translation>Méthode :</translation>
    </message>
    <message>
      <source>How the two are registered</source>
      <translation>Comment les deux sont recalés</translation>
    </message>
    <message>
      <source>Preset:</source>
      <translation>Préréglage :</translation>
    </message>
    <message>
      <source>Options for a kind of data</source>
      <translation>Options pour un type de données</translation>
    </message>
    <message>
      <source>Compute on:</source>
      <translation>Calculer sur :</translation>
    </message>
    <message>
      <source>auto takes a graphics card when there is one</source>
      <translation>auto prend une carte graphique s'il y en a une</translation>
    </message>
    <message>
      <source>Apply</source>
      <translation>Appliquer</translation>
    </message>
    <message>
      <source>Start</source>
      <translation>Démarrer</translation>
    </message>
    <message>
      <source>Cancel</source>
      <translation>Annuler</translation>
    </message>
    <message>
      <source>End the run; the scene stays as it was (Esc)</source>
      <translation>Arrêter le calcul ; la scène reste comme elle était (Échap)</translation>
    </message>
    <message>
      <source>Result</source>
      <translation>Résultat</translation>
    </message>
    <message>
      <source>Run:</source>
      <translation>Calcul :</translation>
    </message>
    <message>
      <source>Runs in this scene, the newest first</source>
      <translation>Calculs de cette scène, le plus récent d'abord</translation>
    </message>
    <message>
      <source>Color by:</source>
      <translation>Couleur selon :</translation>
    </message>
    <message>
      <source>What the colors of the moved surfaces mean</source>
      <translation>Ce que signifient les couleurs des surfaces déplacées</translation>
    </message>
    <message>
      <source>Numbers of each organ</source>
      <translation>Chiffres de chaque organe</translation>
    </message>
    <message>
      <source>Apply to:</source>
      <translation>Appliquer à :</translation>
    </message>
    <message>
      <source>Any node that is to move with the organs</source>
      <translation>Tout nœud qui doit bouger avec les organes</translation>
    </message>
    <message>
      <source>Put under the transform</source>
      <translation>Mettre sous la transformation</translation>
    </message>
    <message>
      <source>The chosen node moves with the organs</source>
      <translation>Le nœud choisi bouge avec les organes</translation>
    </message>
    <message>
      <source>Release</source>
      <translation>Libérer</translation>
    </message>
    <message>
      <source>The chosen node goes back</source>
      <translation>Le nœud choisi revient à sa place</translation>
    </message>
    <message>
      <source>Folder:</source>
      <translation>Dossier :</translation>
    </message>
    <message>
      <source>Folder that Save all writes into</source>
      <translation>Dossier où écrit Tout enregistrer</translation>
    </message>
    <message>
      <source>Save all</source>
      <translation>Tout enregistrer</translation>
    </message>
    <message>
      <source>Write all files of this run into the folder</source>
      <translation>Écrire tous les fichiers de ce calcul dans le dossier</translation>
    </message>
    <message>
      <source>Remove result</source>
      <translation>Retirer le résultat</translation>
    </message>
    <message>
      <source>Take this run out of the scene</source>
      <translation>Retirer ce calcul de la scène</translation>
    </message>
  </context>
  <context>
    <name>UncertaintyViewer</name>
    <message>
      <source>VALOR Uncertainty Viewer</source>
      <translation>VALOR Visualisation de l'incertitude</translation>
    </message>
    <message>
      <source>Shows the expected error of a registration in mm, its volume change and folds, and dose-volume histograms with bands. For research; not for diagnostic use.</source>
      <translation>Montre l'erreur attendue d'un recalage en mm, son changement de volume, ses plis, et les histogrammes dose-volume avec leurs bandes. Pour la recherche ; pas pour le diagnostic.</translation>
    </message>
    <message>
      <source>Built on published work on probabilistic deformable registration.</source>
      <translation>Fondé sur des travaux publiés sur le recalage déformable probabiliste.</translation>
    </message>
    <message>
      <source>Expected error of the transform, in mm, and what it does to the dose.</source>
      <translation>Erreur attendue de la transformation, en mm, et son effet sur la dose.</translation>
    </message>
    <message>
      <source>Apply: uncertainty and dose</source>
      <translation>Appliquer : incertitude et dose</translation>
    </message>
    <message>
      <source>Estimates the error of the transform; Cancel ends it at any time</source>
      <translation>Estime l'erreur de la transformation ; Annuler y met fin à tout moment</translation>
    </message>
    <message>
      <source>Registration uncertainty</source>
      <translation>Incertitude du recalage</translation>
    </message>
    <message>
      <source>none</source>
      <translation>aucun</translation>
    </message>
    <message>
      <source>Select a transform</source>
      <translation>Choisissez une transformation</translation>
    </message>
    <message>
      <source>Select the fixed volume</source>
      <translation>Choisissez le volume fixe</translation>
    </message>
    <message>
      <source>Fixed and moving volume must not be the same</source>
      <translation>Le volume fixe et le volume mobile doivent être différents</translation>
    </message>
    <message>
      <source>Select landmarks of both volumes, or of neither</source>
      <translation>Choisissez des repères dans les deux volumes, ou dans aucun</translation>
    </message>
    <message>
      <source>Apply: volume change only (no moving volume)</source>
      <translation>Appliquer : changement de volume seul (pas de volume mobile)</translation>
    </message>
    <message>
      <source>Apply: uncertainty (no dose and structures)</source>
      <translation>Appliquer : incertitude (ni dose ni structures)</translation>
    </message>
    <message>
      <source>The result was removed; the views show what they showed before.</source>
      <translation>Le résultat a été retiré ; les vues montrent ce qu'elles montraient avant.</translation>
    </message>
    <message>
      <source>Numbers</source>
      <translation>Nombres</translation>
    </message>
    <message>
      <source>Dose metrics</source>
      <translation>Mesures de dose</translation>
    </message>
    <message>
      <source>DVH</source>
      <translation>HDV</translation>
    </message>
    <message>
      <source>Landmarks</source>
      <translation>Repères</translation>
    </message>
    <message>
      <source>A report can be made of a run of this session; press Apply again.</source>
      <translation>Un rapport n'est possible que pour un calcul de cette session ; appuyez de nouveau sur Appliquer.</translation>
    </message>
    <message>
      <source>Export failed.</source>
      <translation>L'exportation a échoué.</translation>
    </message>
    <message>
      <source>Uncertainty</source>
      <translation>Incertitude</translation>
    </message>
    <message>
      <source>{count} files saved in {folder}</source>
      <translation>{count} fichiers enregistrés dans {folder}</translation>
    </message>
    <message>
      <source>Install…</source>
      <translation>Installer…</translation>
    </message>
    <message>
      <source>Ask, then install the missing packages</source>
      <translation>Demander, puis installer les paquets manquants</translation>
    </message>
    <message>
      <source>Registration to look at</source>
      <translation>Recalage à examiner</translation>
    </message>
    <message>
      <source>Transform:</source>
      <translation>Transformation :</translation>
    </message>
    <message>
      <source>Transform of the moving volume onto the fixed one</source>
      <translation>Transformation du volume mobile vers le volume fixe</translation>
    </message>
    <message>
      <source>Fixed volume:</source>
      <translation>Volume fixe :</translation>
    </message>
    <message>
      <source>Its grid is the one that is looked at</source>
      <translation>Sa grille est celle qui est examinée</translation>
    </message>
    <message>
      <source>None</source>
      <translation>Aucun</translation>
    </message>
    <message>
      <source>Moving volume:</source>
      <translation>Volume mobile :</translation>
    </message>
    <message>
      <source>Needed for the uncertainty map</source>
      <translation>Nécessaire à la carte d'incertitude</translation>
    </message>
    <message>
      <source>Dose:</source>
      <translation>Dose :</translation>
    </message>
    <message>
      <source>Dose in Gy, in the space of the moving volume</source>
      <translation>Dose en Gy, dans l'espace du volume mobile</translation>
    </message>
    <message>
      <source>Structures:</source>
      <translation>Structures :</translation>
    </message>
    <message>
      <source>Contours in the space of the fixed volume</source>
      <translation>Contours dans l'espace du volume fixe</translation>
    </message>
    <message>
      <source>Fixed landmarks:</source>
      <translation>Repères fixes :</translation>
    </message>
    <message>
      <source>Points in the fixed volume</source>
      <translation>Points dans le volume fixe</translation>
    </message>
    <message>
      <source>Moving landmarks:</source>
      <translation>Repères mobiles :</translation>
    </message>
    <message>
      <source>The same points, in the same order, in the moving volume</source>
      <translation>Les mêmes points, dans le même ordre, dans le volume mobile</translation>
    </message>
    <message>
      <source>Tolerances and dose goals</source>
      <translation>Tolérances et objectifs de dose</translation>
    </message>
    <message>
      <source>Mean landmark error:</source>
      <translation>Erreur moyenne des repères :</translation>
    </message>
    <message>
      <source>Mean landmark error that is accepted</source>
      <translation>Erreur moyenne des repères acceptée</translation>
    </message>
    <message>
      <source> mm</source>
      <translation> mm</translation>
    </message>
    <message>
      <source>Largest landmark error:</source>
      <translation>Plus grande erreur des repères :</translation>
    </message>
    <message>
      <source>Largest landmark error that is accepted</source>
      <translation>Plus grande erreur des repères acceptée</translation>
    </message>
    <message>
      <source>Folded voxels:</source>
      <translation>Voxels repliés :</translation>
    </message>
    <message>
      <source>Share of folded voxels that is accepted</source>
      <translation>Part de voxels repliés acceptée</translation>
    </message>
    <message>
      <source> %</source>
      <translation> %</translation>
    </message>
    <message>
      <source>Samples:</source>
      <translation>Tirages :</translation>
    </message>
    <message>
      <source>Transforms drawn for the dose bands; more is slower and steadier</source>
      <translation>Transformations tirées pour les bandes de dose ; plus est plus lent et plus stable</translation>
    </message>
    <message>
      <source>Dose goals:</source>
      <translation>Objectifs de dose :</translation>
    </message>
    <message>
      <source>For example: target: D95% &gt;= 57 Gy; heart: Dmean &lt;= 10 Gy</source>
      <translation>Par exemple : target: D95% &gt;= 57 Gy; heart: Dmean &lt;= 10 Gy</translation>
    </message>
    <message>
      <source>Method and options</source>
      <translation>Méthode et options</translation>
    </message>
    <message>
      <source>Method:</source>
      <translation>Méthode :</translation>
    </message>
    <message>
      <source>How the two are registered</source>
      <translation>Comment les deux sont recalés</translation>
    </message>
    <message>
      <source>Preset:</source>
      <translation>Préréglage :</translation>
    </message>
    <message>
      <source>Options for a kind of data</source>
      <translation>Options pour un type de données</translation>
    </message>
    <message>
      <source>Compute on:</source>
      <translation>Calculer sur :</translation>
    </message>
    <message>
      <source>auto takes a graphics card when there is one</source>
      <translation>auto prend une carte graphique s'il y en a une</translation>
    </message>
    <message>
      <source>Apply</source>
      <translation>Appliquer</translation>
    </message>
    <message>
      <source>Start</source>
      <translation>Démarrer</translation>
    </message>
    <message>
      <source>Cancel</source>
      <translation>Annuler</translation>
    </message>
    <message>
      <source>End the run; the scene stays as it was (Esc)</source>
      <translation>Arrêter le calcul ; la scène reste comme elle était (Échap)</translation>
    </message>
    <message>
      <source>Result</source>
      <translation>Résultat</translation>
    </message>
    <message>
      <source>Run:</source>
      <translation>Calcul :</translation>
    </message>
    <message>
      <source>Runs in this scene, the newest first</source>
      <translation>Calculs de cette scène, le plus récent d'abord</translation>
    </message>
    <message>
      <source>Tolerances: green met, red not met</source>
      <translation>Tolérances : vert respectée, rouge non respectée</translation>
    </message>
    <message>
      <source>Show sigma in mm over the fixed volume (1)</source>
      <translation>Montrer sigma en mm sur le volume fixe (1)</translation>
    </message>
    <message>
      <source>Jacobian</source>
      <translation>Jacobien</translation>
    </message>
    <message>
      <source>Show the volume change over the fixed volume (2)</source>
      <translation>Montrer le changement de volume sur le volume fixe (2)</translation>
    </message>
    <message>
      <source>Mean dose</source>
      <translation>Dose moyenne</translation>
    </message>
    <message>
      <source>Show the mean dose over the fixed volume (3)</source>
      <translation>Montrer la dose moyenne sur le volume fixe (3)</translation>
    </message>
    <message>
      <source>Show the chart of dose against volume (4)</source>
      <translation>Montrer la courbe de dose en fonction du volume (4)</translation>
    </message>
    <message>
      <source>Opacity:</source>
      <translation>Opacité :</translation>
    </message>
    <message>
      <source>Opacity of the map</source>
      <translation>Opacité de la carte</translation>
    </message>
    <message>
      <source>Table:</source>
      <translation>Tableau :</translation>
    </message>
    <message>
      <source>Which table is shown</source>
      <translation>Quel tableau est montré</translation>
    </message>
    <message>
      <source>Numbers of this run</source>
      <translation>Chiffres de ce calcul</translation>
    </message>
    <message>
      <source>Landmarks:</source>
      <translation>Repères :</translation>
    </message>
    <message>
      <source>◀</source>
      <translation>◀</translation>
    </message>
    <message>
      <source>Last landmark</source>
      <translation>Repère précédent</translation>
    </message>
    <message>
      <source>▶</source>
      <translation>▶</translation>
    </message>
    <message>
      <source>Next landmark</source>
      <translation>Repère suivant</translation>
    </message>
    <message>
      <source>Folds:</source>
      <translation>Replis :</translation>
    </message>
    <message>
      <source>Last place</source>
      <translation>Endroit précédent</translation>
    </message>
    <message>
      <source>Next place</source>
      <translation>Endroit suivant</translation>
    </message>
    <message>
      <source>Folder:</source>
      <translation>Dossier :</translation>
    </message>
    <message>
      <source>Folder that Export writes into</source>
      <translation>Dossier où écrit l'export</translation>
    </message>
    <message>
      <source>Report</source>
      <translation>Rapport</translation>
    </message>
    <message>
      <source>Open a page with pictures, chart, checks and numbers</source>
      <translation>Ouvrir une page avec images, courbe, contrôles et chiffres</translation>
    </message>
    <message>
      <source>Export all</source>
      <translation>Tout exporter</translation>
    </message>
    <message>
      <source>Write maps, tables (CSV), doses and transform (DICOM too) and the report into the folder</source>
      <translation>Écrire cartes, tableaux (CSV), doses et transformation (DICOM aussi) et le rapport dans le dossier</translation>
    </message>
    <message>
      <source>Remove result</source>
      <translation>Retirer le résultat</translation>
    </message>
    <message>
      <source>Take this run out of the scene</source>
      <translation>Retirer ce calcul de la scène</translation>
    </message>
  </context>
  <context>
    <name>VALORRegistration</name>
    <message>
      <source>VALOR Registration</source>
      <translation>Recalage VALOR</translation>
    </message>
    <message>
      <source>Click in a tumor: it is segmented in both scans, and the moving scan is laid on the fixed one. For research; not for diagnostic use.</source>
      <translation>Cliquez dans une tumeur : elle est segmentée dans les deux examens, et l'examen mobile est posé sur le fixe. Pour la recherche ; pas pour le diagnostic.</translation>
    </message>
    <message>
      <source>Built on the published VALOR-Net method.</source>
      <translation>Fondé sur la méthode publiée VALOR-Net.</translation>
    </message>
    <message>
      <source>Finds the transform from the moving to the fixed volume; Cancel ends it at any time</source>
      <translation>Trouve la transformation du volume mobile vers le fixe ; Annuler y met fin à tout moment</translation>
    </message>
    <message>
      <source>none</source>
      <translation>aucun</translation>
    </message>
    <message>
      <source>Select a fixed and a moving volume</source>
      <translation>Choisissez un volume fixe et un volume mobile</translation>
    </message>
    <message>
      <source>Fixed and moving volume must not be the same</source>
      <translation>Le volume fixe et le volume mobile doivent être différents</translation>
    </message>
    <message>
      <source>Select landmarks of both volumes, or of neither</source>
      <translation>Choisissez des repères dans les deux volumes, ou dans aucun</translation>
    </message>
    <message>
      <source>Apply: segment and register</source>
      <translation>Appliquer : segmenter et recaler</translation>
    </message>
    <message>
      <source>Apply: register (no tumor clicked)</source>
      <translation>Appliquer : recaler (aucune tumeur cliquée)</translation>
    </message>
    <message>
      <source>The result was removed; the views show what they showed before.</source>
      <translation>Le résultat a été retiré ; les vues montrent ce qu'elles montraient avant.</translation>
    </message>
    <message>
      <source>Measuring the result</source>
      <translation>Mesure du résultat</translation>
    </message>
    <message>
      <source>Measured</source>
      <translation>Mesuré</translation>
    </message>
    <message>
      <source>A report can be made of a run of this session; press Apply again.</source>
      <translation>Un rapport n'est possible que pour un calcul de cette session ; appuyez de nouveau sur Appliquer.</translation>
    </message>
    <message>
      <source>Saving failed.</source>
      <translation>L'enregistrement a échoué.</translation>
    </message>
    <message>
      <source>{count} files saved in {folder}</source>
      <translation>{count} fichiers enregistrés dans {folder}</translation>
    </message>
    <message>
      <source>Saved in {folder}</source>
      <translation>Enregistré dans {folder}</translation>
    </message>
    <message>
      <source>Install…</source>
      <translation>Installer…</translation>
    </message>
    <message>
      <source>Ask, then install the missing packages</source>
      <translation>Demander, puis installer les paquets manquants</translation>
    </message>
    <message>
      <source>Scans</source>
      <translation>Examens</translation>
    </message>
    <message>
      <source>Fixed volume:</source>
      <translation>Volume fixe :</translation>
    </message>
    <message>
      <source>The scan that stays where it is, for example 7T</source>
      <translation>L'examen qui reste en place, par exemple 7T</translation>
    </message>
    <message>
      <source>Select a volume</source>
      <translation>Choisir un volume</translation>
    </message>
    <message>
      <source>Moving volume:</source>
      <translation>Volume mobile :</translation>
    </message>
    <message>
      <source>The scan that is laid on the fixed one, for example 3T</source>
      <translation>L'examen qui est posé sur le fixe, par exemple 3T</translation>
    </message>
    <message>
      <source>Clicks in the tumor</source>
      <translation>Clics dans la tumeur</translation>
    </message>
    <message>
      <source>One list for each tumor, one for background</source>
      <translation>Une liste par tumeur, une pour le fond</translation>
    </message>
    <message>
      <source>Add tumor</source>
      <translation>Ajouter une tumeur</translation>
    </message>
    <message>
      <source>New list; then click in the tumor (T)</source>
      <translation>Nouvelle liste ; cliquez ensuite dans la tumeur (T)</translation>
    </message>
    <message>
      <source>Background</source>
      <translation>Fond</translation>
    </message>
    <message>
      <source>Click where there is no tumor (B)</source>
      <translation>Cliquez là où il n'y a pas de tumeur (B)</translation>
    </message>
    <message>
      <source>Place clicks of the chosen list</source>
      <translation>Placer des clics de la liste choisie</translation>
    </message>
    <message>
      <source>Undo click</source>
      <translation>Annuler le clic</translation>
    </message>
    <message>
      <source>Take back the last click (U)</source>
      <translation>Reprendre le dernier clic (U)</translation>
    </message>
    <message>
      <source>Remove list</source>
      <translation>Retirer la liste</translation>
    </message>
    <message>
      <source>Remove the chosen list with its clicks</source>
      <translation>Retirer la liste choisie avec ses clics</translation>
    </message>
    <message>
      <source>Clicks are in the fixed volume</source>
      <translation>Les clics sont dans le volume fixe</translation>
    </message>
    <message>
      <source>Off: the moving volume was clicked</source>
      <translation>Décoché : les clics sont dans le volume mobile</translation>
    </message>
    <message>
      <source>Show the tumor after each click</source>
      <translation>Montrer la tumeur après chaque clic</translation>
    </message>
    <message>
      <source>Segments near the clicks again after each one</source>
      <translation>Segmente à nouveau près des clics après chacun</translation>
    </message>
    <message>
      <source>More inputs (optional)</source>
      <translation>Autres entrées (facultatives)</translation>
    </message>
    <message>
      <source>Region:</source>
      <translation>Région :</translation>
    </message>
    <message>
      <source>Register inside this box alone</source>
      <translation>Recaler dans cette boîte seulement</translation>
    </message>
    <message>
      <source>None</source>
      <translation>Aucun</translation>
    </message>
    <message>
      <source>Start from:</source>
      <translation>Partir de :</translation>
    </message>
    <message>
      <source>Transform of the moving volume to start from</source>
      <translation>Transformation du volume mobile dont partir</translation>
    </message>
    <message>
      <source>Fixed structures:</source>
      <translation>Structures fixes :</translation>
    </message>
    <message>
      <source>Segmentation on the fixed volume</source>
      <translation>Segmentation sur le volume fixe</translation>
    </message>
    <message>
      <source>Moving structures:</source>
      <translation>Structures mobiles :</translation>
    </message>
    <message>
      <source>Segmentation on the moving volume</source>
      <translation>Segmentation sur le volume mobile</translation>
    </message>
    <message>
      <source>Fixed landmarks:</source>
      <translation>Repères fixes :</translation>
    </message>
    <message>
      <source>Points in the fixed volume</source>
      <translation>Points dans le volume fixe</translation>
    </message>
    <message>
      <source>Moving landmarks:</source>
      <translation>Repères mobiles :</translation>
    </message>
    <message>
      <source>The same points, in the same order, in the moving volume</source>
      <translation>Les mêmes points, dans le même ordre, dans le volume mobile</translation>
    </message>
    <message>
      <source>Method and options</source>
      <translation>Méthode et options</translation>
    </message>
    <message>
      <source>Method:</source>
      <translation>Méthode :</translation>
    </message>
    <message>
      <source>How the two are registered</source>
      <translation>Comment les deux sont recalés</translation>
    </message>
    <message>
      <source>Preset:</source>
      <translation>Préréglage :</translation>
    </message>
    <message>
      <source>Options for a kind of data</source>
      <translation>Options pour un type de données</translation>
    </message>
    <message>
      <source>Compute on:</source>
      <translation>Calculer sur :</translation>
    </message>
    <message>
      <source>auto takes a graphics card when there is one</source>
      <translation>auto prend une carte graphique s'il y en a une</translation>
    </message>
    <message>
      <source>Apply</source>
      <translation>Appliquer</translation>
    </message>
    <message>
      <source>Start</source>
      <translation>Démarrer</translation>
    </message>
    <message>
      <source>Cancel</source>
      <translation>Annuler</translation>
    </message>
    <message>
      <source>End the run; the scene stays as it was (Esc)</source>
      <translation>Arrêter le calcul ; la scène reste comme elle était (Échap)</translation>
    </message>
    <message>
      <source>Result</source>
      <translation>Résultat</translation>
    </message>
    <message>
      <source>Run:</source>
      <translation>Calcul :</translation>
    </message>
    <message>
      <source>Runs in this scene, the newest first</source>
      <translation>Calculs de cette scène, le plus récent d'abord</translation>
    </message>
    <message>
      <source>Blend:</source>
      <translation>Mélange :</translation>
    </message>
    <message>
      <source>From the fixed volume to the warped one</source>
      <translation>Du volume fixe au volume déformé</translation>
    </message>
    <message>
      <source> %</source>
      <translation> %</translation>
    </message>
    <message>
      <source>Blend</source>
      <translation>Mélange</translation>
    </message>
    <message>
      <source>Fixed and warped volume over each other (1)</source>
      <translation>Volumes fixe et déformé superposés (1)</translation>
    </message>
    <message>
      <source>Checkerboard</source>
      <translation>Damier</translation>
    </message>
    <message>
      <source>Alternating squares (2)</source>
      <translation>Carrés alternés (2)</translation>
    </message>
    <message>
      <source>Flicker</source>
      <translation>Alternance</translation>
    </message>
    <message>
      <source>One, then the other (3)</source>
      <translation>L'un, puis l'autre (3)</translation>
    </message>
    <message>
      <source>Difference</source>
      <translation>Différence</translation>
    </message>
    <message>
      <source>Warped minus fixed (4)</source>
      <translation>Déformé moins fixe (4)</translation>
    </message>
    <message>
      <source>Volume of each tumor in both scans</source>
      <translation>Volume de chaque tumeur dans les deux examens</translation>
    </message>
    <message>
      <source>Numbers of this registration</source>
      <translation>Chiffres de ce recalage</translation>
    </message>
    <message>
      <source>Folds:</source>
      <translation>Replis :</translation>
    </message>
    <message>
      <source>◀</source>
      <translation>◀</translation>
    </message>
    <message>
      <source>Last place</source>
      <translation>Endroit précédent</translation>
    </message>
    <message>
      <source>▶</source>
      <translation>▶</translation>
    </message>
    <message>
      <source>Next place</source>
      <translation>Endroit suivant</translation>
    </message>
    <message>
      <source>Folder:</source>
      <translation>Dossier :</translation>
    </message>
    <message>
      <source>Folder that Save all writes into</source>
      <translation>Dossier où écrit Tout enregistrer</translation>
    </message>
    <message>
      <source>Report</source>
      <translation>Rapport</translation>
    </message>
    <message>
      <source>Open a report of this run in the browser</source>
      <translation>Ouvrir un rapport de ce calcul dans le navigateur</translation>
    </message>
    <message>
      <source>Save all</source>
      <translation>Tout enregistrer</translation>
    </message>
    <message>
      <source>Write all files of this run into the folder</source>
      <translation>Écrire tous les fichiers de ce calcul dans le dossier</translation>
    </message>
    <message>
      <source>Remove result</source>
      <translation>Retirer le résultat</translation>
    </message>
    <message>
      <source>Take this run out of the scene</source>
      <translation>Retirer ce calcul de la scène</translation>
    </message>
  </context>
  <context>
    <name>checks</name>
    <message>
      <source>Check</source>
      <translation>Contrôle</translation>
    </message>
    <message>
      <source>Value</source>
      <translation>Valeur</translation>
    </message>
    <message>
      <source>Limit</source>
      <translation>Limite</translation>
    </message>
    <message>
      <source>Note</source>
      <translation>Remarque</translation>
    </message>
  </context>
  <context>
    <name>comparing</name>
    <message>
      <source>{count} places</source>
      <translation>{count} endroits</translation>
    </message>
    <message>
      <source>{path} could not be written; choose another folder</source>
      <translation>{path} n'a pas pu être écrit ; choisissez un autre dossier</translation>
    </message>
  </context>
  <context>
    <name>dependencies</name>
    <message>
      <source>Installed. Restart Slicer if a module was updated.</source>
      <translation>Installé. Redémarrez Slicer si un module a été mis à jour.</translation>
    </message>
    <message>
      <source>Everything is installed.</source>
      <translation>Tout est installé.</translation>
    </message>
    <message>
      <source>Install the extension "PyTorch" in the Extensions Manager, restart Slicer, and press Install again.</source>
      <translation>Installez l'extension « PyTorch » dans le gestionnaire d'extensions, redémarrez Slicer et appuyez de nouveau sur Installer.</translation>
    </message>
    <message>
      <source>PyTorch was not installed.</source>
      <translation>PyTorch n'a pas été installé.</translation>
    </message>
    <message>
      <source>{names} must be installed before Apply works; nothing is installed without asking.</source>
      <translation>{names} : à installer avant qu'Appliquer ne fonctionne ; rien n'est installé sans demander.</translation>
    </message>
    <message>
      <source>Not installed: you chose not to.</source>
      <translation>Non installé : vous avez refusé.</translation>
    </message>
    <message>
      <source>Install {names} into Slicer's Python?</source>
      <translation>Installer {names} dans le Python de Slicer ?</translation>
    </message>
    <message>
      <source>Installation failed: {error}</source>
      <translation>L'installation a échoué : {error}</translation>
    </message>
  </context>
  <context>
    <name>forms</name>
    <message>
      <source>Advanced</source>
      <translation>Avancé</translation>
    </message>
  </context>
  <context>
    <name>jobs</name>
    <message>
      <source>about {minutes} min left</source>
      <translation>encore environ {minutes} min</translation>
    </message>
    <message>
      <source>about {seconds} s left</source>
      <translation>encore environ {seconds} s</translation>
    </message>
  </context>
  <context>
    <name>methods</name>
    <message>
      <source>The options appear once {name} is installed.</source>
      <translation>Les options apparaissent une fois {name} installé.</translation>
    </message>
  </context>
  <context>
    <name>organs</name>
    <message>
      <source>As ticked above</source>
      <translation>Comme coché ci-dessus</translation>
    </message>
    <message>
      <source>All together</source>
      <translation>Tous ensemble</translation>
    </message>
    <message>
      <source>Matrix below</source>
      <translation>Matrice ci-dessous</translation>
    </message>
    <message>
      <source>Organ</source>
      <translation>Organe</translation>
    </message>
    <message>
      <source>By itself</source>
      <translation>Seul</translation>
    </message>
    <message>
      <source>Reach (mm)</source>
      <translation>Portée (mm)</translation>
    </message>
    <message>
      <source>Motion (mm)</source>
      <translation>Mouvement (mm)</translation>
    </message>
    <message>
      <source>Ticked organs take part</source>
      <translation>Les organes cochés participent</translation>
    </message>
    <message>
      <source>Ticked: moves independently of the other organs</source>
      <translation>Coché : bouge indépendamment des autres organes</translation>
    </message>
    <message>
      <source>B: how far motion stays coherent; empty: as in the options</source>
      <translation>B : jusqu'où le mouvement reste cohérent ; vide : comme dans les options</translation>
    </message>
    <message>
      <source>Lambda: how far this organ may move; empty: as in the options</source>
      <translation>Lambda : jusqu'où cet organe peut bouger ; vide : comme dans les options</translation>
    </message>
  </context>
  <context>
    <name>panel</name>
    <message>
      <source>Cancel</source>
      <translation>Annuler</translation>
    </message>
    <message>
      <source>Canceling</source>
      <translation>Annulation</translation>
    </message>
    <message>
      <source>Apply</source>
      <translation>Appliquer</translation>
    </message>
    <message>
      <source>Running</source>
      <translation>En cours</translation>
    </message>
    <message>
      <source>Showing the result</source>
      <translation>Affichage du résultat</translation>
    </message>
    <message>
      <source>Done.</source>
      <translation>Terminé.</translation>
    </message>
    <message>
      <source>Canceled; the scene is as it was.</source>
      <translation>Annulé ; la scène est inchangée.</translation>
    </message>
    <message>
      <source>Install {names} first</source>
      <translation>Installez d'abord {names}</translation>
    </message>
    <message>
      <source>The run failed: {error}. The log has the details.</source>
      <translation>Le calcul a échoué : {error}. Le journal donne les détails.</translation>
    </message>
  </context>
  <context>
    <name>samples</name>
    <message>
      <source>Breast 7T (fixed)</source>
      <translation>Sein 7T (fixe)</translation>
    </message>
    <message>
      <source>Breast 3T (moving)</source>
      <translation>Sein 3T (mobile)</translation>
    </message>
    <message>
      <source>CT day 2 (fixed)</source>
      <translation>TDM jour 2 (fixe)</translation>
    </message>
    <message>
      <source>CT day 1 (moving)</source>
      <translation>TDM jour 1 (mobile)</translation>
    </message>
    <message>
      <source>Dose day 1</source>
      <translation>Dose jour 1</translation>
    </message>
    <message>
      <source>Day 1 on day 2</source>
      <translation>Jour 1 sur jour 2</translation>
    </message>
    <message>
      <source>Structures day 2</source>
      <translation>Structures jour 2</translation>
    </message>
    <message>
      <source>Landmarks 7T</source>
      <translation>Repères 7T</translation>
    </message>
    <message>
      <source>Landmarks 3T</source>
      <translation>Repères 3T</translation>
    </message>
    <message>
      <source>Organs (fixed)</source>
      <translation>Organes (fixes)</translation>
    </message>
    <message>
      <source>Organs (moving)</source>
      <translation>Organes (mobiles)</translation>
    </message>
    <message>
      <source>Landmarks day 2</source>
      <translation>Repères jour 2</translation>
    </message>
    <message>
      <source>Landmarks day 1</source>
      <translation>Repères jour 1</translation>
    </message>
  </context>
  <context>
    <name>seeds</name>
    <message>
      <source>Background clicks</source>
      <translation>Clics de fond</translation>
    </message>
    <message>
      <source>How far the tumor reaches from its middle: mm, or a line's name</source>
      <translation>Jusqu'où s'étend la tumeur depuis son milieu : mm, ou le nom d'une ligne</translation>
    </message>
    <message>
      <source>Tumor {number} clicks</source>
      <translation>Clics de la tumeur {number}</translation>
    </message>
    <message>
      <source>List</source>
      <translation>Liste</translation>
    </message>
    <message>
      <source>Clicks</source>
      <translation>Clics</translation>
    </message>
    <message>
      <source>Volume</source>
      <translation>Volume</translation>
    </message>
    <message>
      <source>Motion</source>
      <translation>Mouvement</translation>
    </message>
    <message>
      <source>Reach</source>
      <translation>Étendue</translation>
    </message>
    <message>
      <source>In mm, or the name of a line from the tumor's middle to its farthest point; empty: not known</source>
      <translation>En mm, ou le nom d'une ligne du milieu de la tumeur à son point le plus éloigné ; vide : inconnu</translation>
    </message>
  </context>
  <context>
    <name>tumors</name>
    <message>
      <source>How this tumor may move: freely, without changing its volume, or without changing its shape</source>
      <translation>Comment cette tumeur peut bouger : librement, sans changer de volume, ou sans changer de forme</translation>
    </message>
    <message>
      <source>free</source>
      <translation>libre</translation>
    </message>
    <message>
      <source>same volume</source>
      <translation>même volume</translation>
    </message>
    <message>
      <source>rigid</source>
      <translation>rigide</translation>
    </message>
  </context>
</TS>
