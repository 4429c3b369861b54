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
      <source>Reach (mm)</source>
      <translation>Portée (mm)</translation>
    </message>
    <message>
      <source>How far the tumor reaches from its middle, when known; empty: not known</source>
      <translation>Jusqu'où la tumeur s'étend depuis son centre, si on le sait ; vide : inconnu</translation>
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
